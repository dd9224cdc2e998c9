// A Minecraft Bedrock server (npm bedrock-protocol over jsp-raknet, 1.20.80, offline): the whole RakNet and login
// exchange, then it answers the client's tick_sync.
'use strict'
const bedrock = require('bedrock-protocol')
const { default: InetAddress } = require('jsp-raknet/js/utils/InetAddress')
const { say, goOnAfterFault } = require('./say')

goOnAfterFault()

// jsp-raknet closes the whole server when one client leaves or falls silent. One that leaves must not end the game.
const { Connection } = require('jsp-raknet/js/Connection')
const disconnect = Connection.prototype.disconnect
Connection.prototype.disconnect = function (reason) {
  if (!this.listener.server) return disconnect.call(this, reason)
  this.running = false
  this.listener.connections.delete(this.address.hash)
  this.listener.emit('closeConnection', this, reason)
}

// bedrock-protocol finds a client by its address as text, and jsp-raknet's addresses are all "[object Object]": what one
// player says would be taken for the newest one's, who is then thrown out.
InetAddress.prototype.toString = function () { return this.hash }

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

// A server of this game speaks ten and more times a second without being asked. RakNet's own ping stands for that here:
// every client knows it.
setInterval(() => {
  const raknet = server.raknet && server.raknet.raknet
  if (!raknet || raknet.connections.size > 400) return
  for (const connection of raknet.connections.values()) {
    if (connection.state === 1) connection.sendConnectedPing()
  }
}, 100)
