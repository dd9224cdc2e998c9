"""Queries of public monitors, each by a library that nobody here wrote.

    query.py java|bedrock|a2s HOST PORT[,PORT...] [TIMES]

Several ports are asked in turn. One JSON line for each answer, `lost` for each that did not come.
"""

import json
import sys
import time

TIMEOUT_S = 2.0


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def java(host, port):
    from mcstatus import JavaServer

    server = JavaServer(host, port, timeout=TIMEOUT_S)
    players = server.status().players.online
    try:
        ping = server.ping()
    except OSError as error:
        # minecraft-protocol 1.68 returns another token than it was sent; that it answered is what matters here.
        if "mangled" not in str(error):
            raise
        ping = None
    return {"players": players, "ping": ping}


def bedrock(host, port):
    from mcstatus import BedrockServer

    return {"players": BedrockServer(host, port, timeout=TIMEOUT_S).status().players.online}


def source(host, port):
    import a2s

    address = (host, port)
    name = a2s.info(address, timeout=TIMEOUT_S).server_name
    return {"name": name, "players": len(a2s.players(address, timeout=TIMEOUT_S)), "rules": len(a2s.rules(address, timeout=TIMEOUT_S))}


def main():
    kind, host, port, *times = sys.argv[1:]
    query = {"java": java, "bedrock": bedrock, "a2s": source}[kind]
    ports = [int(one) for one in port.split(",")]
    for number in range(int(times[0]) if times else 1):
        began = time.monotonic()
        try:
            answer = query(host, ports[number % len(ports)])
        except Exception as error:  # whatever a library raises, the answer did not come
            say("lost", number=number, why=repr(error))
        else:
            say("echo", number=number, ms=round((time.monotonic() - began) * 1000, 2), **answer)
        time.sleep(0.25)


main()
