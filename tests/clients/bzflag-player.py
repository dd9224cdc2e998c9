"""Plays BZFlag with Debian's bzadmin: joins as an observer and says a line each second, which the server echoes.

    bzflag-player.py HOST PORT NAME
"""

import json
import re
import shutil
import subprocess
import sys
import threading
import time

LOST_AFTER_S = 2.0
ASKED = {}


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def listen(stream):
    for line in stream:
        if "joined the game" in line:
            say("joined")
        elif "echo" not in line:
            say("printed", line=line.strip())
        echo = re.search(r"echo (\d+)\b", line)
        began = ASKED.pop(int(echo.group(1)), None) if echo else None
        if began is not None:
            say("echo", number=int(echo.group(1)), ms=round((time.monotonic() - began) * 1000, 2))
    say("disconnected", why="bzadmin ended")


def main():
    host, port, name = sys.argv[1:]
    program = shutil.which("bzadmin") or "/usr/games/bzadmin"
    # Without stdbuf what it prints stays in its buffer until it ends.
    command = ["stdbuf", "-oL", program, "-ui", "stdboth", f"{name}@{host}:{port}"]
    pipe = subprocess.PIPE
    client = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, bufsize=1)
    threading.Thread(target=listen, args=(client.stdout,), daemon=True).start()
    number = 0
    while client.poll() is None:
        time.sleep(1)
        number += 1
        for lost in [n for n, began in list(ASKED.items()) if time.monotonic() - began > LOST_AFTER_S]:
            ASKED.pop(lost)
            say("lost", number=lost)
        ASKED[number] = time.monotonic()
        try:
            client.stdin.write(f"echo {number}\n")
        except BrokenPipeError:
            break


main()
