// A Minecraft Bedrock server (npm bedrock-protocol over jsp-raknet, 1.20.80, offline): the whole RakNet and login
// exchange, then it answers the client's tick_sync.
'use strict'
const bedrock = require('bedrock-protocol')
const { say, goOnAfterFault } = require('./say')

goOnAfterFault()

const server = bedrock.createServer({
  host: '0.0.0.0',
  port: Number(process.env.SERVER_PORT || 19132),
  version: '1.20.80',
  offline: true,
  maxPlayers: 10000,
  raknetBackend: 'jsp-raknet',
  motd: { motd: 'a server of the lab', levelName: 'lab' }
})

server.on('connect', client => {
  client.on('join', () => say('login', { name: client.profile && client.profile.name }))
  client.on('tick_sync', packet => {
    client.queue('tick_sync', { request_time: packet.request_time, response_time: packet.request_time })
  })
  client.on('error', () => client.close())
})
// jsp-raknet speaks of its socket's errors here.
server.on('error', error => say('error', { why: String(error) }))
setTimeout(() => say('listening'), 300)
