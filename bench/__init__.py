"""Inferway side by side with nginx, Envoy and a plain httpx proxy, in one run, on one machine.

    one round = every case x every number of connections x every proxy, in turn

    wrk ──► proxy ──► origin            core A: wrk, origin, this program
            core B                      core B: the proxy under measurement, alone

A figure on its own says more about the machine than about the proxy, so nothing here is meant to be compared with a
figure from another run. What lasts are the ratios, taken round by round between neighbours in time.

    answer.py    the 707 bytes everybody must deliver, and the URLs that ask for them
    origin.py    nginx answering from memory
    peers/       one file per proxy: how it is configured and started
    load.py      wrk (load.lua): counts, percentiles, and a pass that compares every byte
    procfs.py    CPU time, peak memory, busy cores
    verify.py    what makes a run fail
    measure.py   one measurement            compare.py   all of them, interleaved
    ratios.py    medians, load-bound, ratios (pure)       report.py    tables and latest.json
    memory.py    `soak-keys`: memory with 100,000 distinct clients

Beside the comparison there are harnesses, each a module to run, with demands that hold or not on any machine:

    slow_clients.py      slow clients beyond the gateway's descriptors        slow_connections.py  what holds it up
    endpoint_faults.py   one of three endpoints fails in several ways         victim.py            that one, and the ways
                         steady_load.py  the requests, recorded               ejection.py          reading the record (pure)
    soak_local.py        mixed traffic: growth, leaks, failures               mixed_traffic.py     its kinds
    stop_under_load.py   SIGTERM under load
    harness.py           where they run        clients.py   their client      tally.py    what became of requests
    scripted.py          the upstream (services/fakes)       watching.py  memory, descriptors, gauges over time
    verdicts.py          the table of demands, and the exit code
"""
