// Minecraft Java players (npm minecraft-protocol, 1.20.4): each joins, walks at 20 packets a second, answers
// keep-alives and asks four times a second for the echo that vanilla's network graph asks for. Several players in one
// process share the second of work that the library's start costs.
//   node java-player.js HOST PORT NAME SOURCE[,SOURCE...]
'use strict'
const net = require('net')
const mc = require('minecraft-protocol')
const { say, echoes, endOnFault } = require('./say')

endOnFault()

const [host, port, name, sources] = process.argv.slice(2)

function play (username, localAddress) {
  const client = mc.createClient({
    username,
    host,
    port: Number(port),
    version: '1.20.4',
    auth: 'offline',
    connect: client => client.setSocket(net.connect({ host, port: Number(port), localAddress }))
  })
  client.once('position', () => {
    say('joined', { name: username })
    const came = echoes(250, number => client.write('ping_request', { id: BigInt(number) }))
    client.on('ping_response', packet => came(Number(packet.id)))
    let steps = 0
    setInterval(() => {
      steps += 1
      client.write('position', { x: Math.sin(steps / 40) * 8, y: 64, z: Math.cos(steps / 40) * 8, onGround: true })
    }, 50)
  })
  client.on('keep_alive', () => say('keep-alive', { name: username }))
  client.on('kick_disconnect', packet => say('kicked', { why: JSON.stringify(packet.reason) }))
  client.on('error', error => say('error', { why: String(error) }))
  client.on('end', why => {
    say('disconnected', { name: username, why: String(why) })
    process.exit(1)
  })
}

sources.split(',').forEach((source, number) => play(name + (number + 1), source))
