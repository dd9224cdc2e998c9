"""Answers Source queries with challenges, as game servers do. The client that asks is the foreign program here.

It also lets players in (getchallenge, connect with the challenge) and plays with them: numbered datagrams, ten a
second unasked and one for each that came.

Facts: INFO (0x54), PLAYER (0x55) and RULES (0x56) without a right challenge are answered with 0x41 and four bytes.
"""

import hashlib
import json
import os
import socket
import select
import struct
import time

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
    if body[:1] == b"q":
        return PREFIX + b"A" + right + bytes(8)
    if body[:1] == b"k" and body[9:13] == right:
        PLAYERS[address] = time.monotonic()
        return PREFIX + b"B" + bytes(9)
    return None


# Who plays, and when he was last heard.
PLAYERS = {}
PLAYERS_MAX = 500
SILENT_S = 10.0
# What somebody says who leaves.
PART = b"\x01Disconnect"


def play(packet, address):
    """A numbered datagram of somebody who plays."""
    if address not in PLAYERS or len(packet) < 16:
        return None
    if packet[16:].startswith(PART):
        del PLAYERS[address]
        return None
    PLAYERS[address] = time.monotonic()
    return packet[:4] + packet[:4] + bytes(40)


def tick(server):
    now = time.monotonic()
    for address, heard in list(PLAYERS.items()):
        if now > heard + SILENT_S or len(PLAYERS) > PLAYERS_MAX:
            del PLAYERS[address]
            continue
        server.sendto(struct.pack("<II", int(now * 10) & 0x7FFFFFFF, 0) + bytes(72), address)


def main():
    family, any_address = (socket.AF_INET6, "::") if ":" in os.environ.get("SERVER_IP", "") else (socket.AF_INET, "0.0.0.0")
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((any_address, int(os.environ.get("SERVER_PORT", "27015"))))
    server.setblocking(False)
    print(json.dumps({"event": "listening"}), flush=True)
    due = time.monotonic()
    while True:
        select.select([server], [], [], max(0.0, due - time.monotonic()))
        for _ in range(64):
            try:
                packet, address = server.recvfrom(2048)
            except BlockingIOError:
                break
            reply = answer(packet, address) if packet[:4] == PREFIX else play(packet, address)
            if reply:
                server.sendto(reply, address)
        if time.monotonic() >= due:
            due = time.monotonic() + 0.1
            tick(server)


main()
