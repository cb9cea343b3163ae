"""The looks, as a pyinfra deploy: `LOOKS` of them in all, evenly over the hosts, each on all of them at a time."""

import os

from pyinfra import host, inventory
from pyinfra.operations import server

names = sorted(each.name for each in inventory)
place = names.index(host.name)

for number in range(int(os.environ["LOOKS"])):
    if number % len(names) == place:
        server.shell(name=f"look {number // len(names)}", commands=["cat /etc/hostname"])
