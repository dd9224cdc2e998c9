// What servers and clients say: one JSON object a line.
'use strict'
function say (event, more = {}) {
  process.stdout.write(JSON.stringify({ event, ...more }) + '\n')
}

// Asks for an echo again and again. `ask(number)` sends; the returned function is called with the number that came
// back. An echo that takes longer than two seconds is lost.
function echoes (every, ask) {
  const waiting = new Map()
  let number = 0
  setInterval(() => {
    const now = performance.now()
    for (const [asked, at] of waiting) {
      if (now - at > 2000) {
        waiting.delete(asked)
        say('lost', { number: asked })
      }
    }
    number += 1
    waiting.set(number, now)
    ask(number)
  }, every)
  return came => {
    const at = waiting.get(came)
    if (at === undefined) return
    waiting.delete(came)
    say('echo', { number: came, ms: Math.round((performance.now() - at) * 100) / 100 })
  }
}

// A player whose process cannot go on says so and ends.
function endOnFault () {
  process.on('uncaughtException', error => {
    say('disconnected', { why: String(error && error.stack) })
    process.exit(1)
  })
}

// A server goes on: its library throws at bytes that no client sends, and one fault must not end the game. It says
// only the first twenty faults, so that a flood does not fill its log.
function goOnAfterFault () {
  let faults = 0
  process.on('uncaughtException', error => {
    faults += 1
    if (faults <= 20) say('fault', { why: String(error && error.stack) })
  })
}

module.exports = { say, echoes, endOnFault, goOnAfterFault }
