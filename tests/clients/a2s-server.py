"""Answers Source queries with challenges, as game servers do. The client that asks is the foreign program here.

Facts: INFO (0x54), PLAYER (0x55) and RULES (0x56) without a right challenge are answered with 0x41 and four bytes.
"""

import hashlib
import json
import os
import socket
import struct

PREFIX = b"\xff\xff\xff\xff"
INFO = b"T" + b"Source Engine Query\0"
SECRET = os.urandom(16)


def challenge(address):
    return hashlib.sha256(SECRET + address[0].encode()).digest()[:4]


def info():
    text = b"\x11" + b"a server of the lab\0" + b"de_lab\0" + b"csgo\0" + b"Counter-Strike\0"
    return PREFIX + b"I" + text + struct.pack("<HBBB", 730, 1, 16, 0) + b"dl\0\x01" + b"1.0.0.0\0" + b"\0"


def players():
    return PREFIX + b"D\x01" + b"\0somebody\0" + struct.pack("<lf", 7, 93.5)


def rules():
    return PREFIX + b"E" + struct.pack("<H", 1) + b"mp_lab\0" + b"1\0"


def answer(packet, address):
    if not packet.startswith(PREFIX) or len(packet) < 5:
        return None
    body, right = packet[4:], challenge(address)
    if body.startswith(INFO):
        return info() if body[len(INFO):] == right else PREFIX + b"A" + right
    for kind, reply in ((b"U", players), (b"V", rules)):
        if body[:1] == kind:
            return reply() if body[1:] == right else PREFIX + b"A" + right
    return None


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", int(os.environ.get("SERVER_PORT", "27015"))))
    print(json.dumps({"event": "listening"}), flush=True)
    while True:
        packet, address = server.recvfrom(2048)
        reply = answer(packet, address)
        if reply:
            server.sendto(reply, address)


main()
