// A Minecraft Java server (npm minecraft-protocol, 1.20.4, offline). It answers the client's own ping request, which
// vanilla clients send for their network graph, and echoes chat commands by nothing else.
'use strict'
const mc = require('minecraft-protocol')
const { say, goOnAfterFault } = require('./say')

goOnAfterFault()

const server = mc.createServer({
  'online-mode': false,
  host: (process.env.SERVER_IP || '').includes(':') ? '::' : '0.0.0.0',
  port: Number(process.env.SERVER_PORT || 25565),
  version: '1.20.4',
  maxPlayers: 10000,
  motd: 'a server of the lab',
  checkTimeoutInterval: 4000,
  // Writing the whole registry anew for each login would cost a second of a busy processor; no client here reads it.
  registryCodec: { type: 'compound', name: '', value: {} },
  kickTimeout: 30000
})
const login = require('minecraft-data')('1.20.4').loginPacket

server.on('playerJoin', client => {
  client.write('login', { ...login, entityId: client.id || 1, maxPlayers: 10000, enforceSecureProfile: false })
  client.write('position', { x: 0, y: 64, z: 0, yaw: 0, pitch: 0, flags: 0, teleportId: 1 })
  client.on('ping_request', packet => client.write('ping_response', { id: packet.id }))
  client.on('error', () => client.end('error'))
  if (client.username.startsWith('Player')) say('login', { name: client.username })
})
server.on('connection', client => client.on('error', () => client.end('error')))
server.on('error', error => say('error', { why: String(error) }))
server.on('listening', () => say('listening'))
