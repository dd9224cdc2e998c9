// bedrock-protocol asks for raknet-native, which would download a program when installed. Preloaded, this answers
// in its place; the RakNet that is really used is jsp-raknet.
'use strict'
const Module = require('module')
const load = Module._load
Module._load = function (request, ...rest) {
  return request === 'raknet-native' ? {} : load.call(this, request, ...rest)
}
