// A Minecraft Java player (npm minecraft-protocol, 1.20.4): joins, walks at 20 packets a second, answers keep-alives
// and asks four times a second for the echo that vanilla's network graph asks for.
//   node java-player.js HOST PORT NAME [SOURCE]
'use strict'
const net = require('net')
const mc = require('minecraft-protocol')
const { say, echoes } = require('./say')

const [host, port, username, localAddress] = process.argv.slice(2)
const client = mc.createClient({
  username,
  host,
  port: Number(port),
  version: '1.20.4',
  auth: 'offline',
  connect: client => client.setSocket(net.connect({ host, port: Number(port), localAddress }))
})

let steps = 0
client.once('position', () => {
  say('joined', { name: username })
  const came = echoes(250, number => client.write('ping_request', { id: BigInt(number) }))
  client.on('ping_response', packet => came(Number(BigInt.asIntN(64, typeof packet.id === 'bigint' ? packet.id : BigInt(packet.id.toString())))))
  setInterval(() => {
    steps += 1
    client.write('position', { x: Math.sin(steps / 40) * 8, y: 64, z: Math.cos(steps / 40) * 8, onGround: true })
  }, 50)
})
client.on('keep_alive', () => say('keep-alive'))
client.on('kick_disconnect', packet => say('kicked', { why: JSON.stringify(packet.reason) }))
client.on('error', error => say('error', { why: String(error) }))
client.on('end', why => {
  say('disconnected', { why: String(why) })
  process.exit(1)
})
