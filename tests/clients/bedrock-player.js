// A Minecraft Bedrock player (npm bedrock-protocol over jsp-raknet, 1.20.80): the whole RakNet and login exchange,
// then four times a second the tick_sync that clients of that version send.
//   node -r ./no-native-raknet.js bedrock-player.js HOST PORT NAME
'use strict'
const bedrock = require('bedrock-protocol')
const { say, echoes, endOnFault } = require('./say')

endOnFault()

const [host, port, username] = process.argv.slice(2)
const client = bedrock.createClient({
  host,
  port: Number(port),
  username,
  version: '1.20.80',
  offline: true,
  skipPing: true,
  raknetBackend: 'jsp-raknet',
  conLog: null
})

client.on('join', () => {
  // A moment for the handshake's own answer to be on its way.
  setTimeout(() => {
    say('joined', { name: username })
    const came = echoes(250, number => {
      client.queue('tick_sync', { request_time: BigInt(number), response_time: 0n })
    })
    client.on('tick_sync', packet => came(Number(packet.request_time)))
  }, 200)
})
client.on('kick', packet => say('kicked', { why: packet.message }))
client.on('error', error => say('error', { why: String(error) }))
client.on('close', () => {
  say('disconnected', { why: 'closed' })
  process.exit(1)
})
