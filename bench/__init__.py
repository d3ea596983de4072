"""Inferway side by side with nginx, Envoy and a plain httpx proxy, in one run, on one machine.

    one round = each case x each number of connections x each proxy, in turn

    wrk ──► proxy ──► origin            core A: wrk, origin, this program
            core B                      core B: the proxy under measurement, alone

A single figure describes the machine more than the proxy. So never compare a figure with one of another run. Ratios
are comparable: they are taken round by round, between measurements that are close in time.

    answer.py    the 707 bytes each proxy must deliver, and the URLs that request them
    origin.py    nginx answering from memory
    peers/       one file per proxy: how it is configured and started
    load.py      wrk (load.lua): counts, percentiles, and a pass that compares every byte
    procfs.py    CPU time, peak memory, busy cores
    verify.py    the checks that fail a run
    measure.py   one measurement            compare.py   all of them, interleaved
    ratios.py    medians, load-bound, ratios (pure)       report.py    tables and latest.json
    memory.py    `soak-keys`: memory with 100,000 distinct clients

In addition to the comparison there are harnesses. Each is a module to run; its demands hold or fail on any machine:

    slow_clients.py      slow clients beyond the gateway's descriptors        slow_connections.py  their connections
    endpoint_faults.py   one of three endpoints fails in several ways         victim.py            that one, and the faults
                         steady_load.py  the requests, recorded               ejection.py          evaluates the record (pure)
    soak_local.py        mixed traffic: growth, leaks, failures               mixed_traffic.py     its kinds
    stop_under_load.py   SIGTERM under load
    harness.py           where they run        clients.py   their client      tally.py    outcomes of requests
    scripted.py          the upstream (services/fakes)       watching.py  memory, descriptors, gauges over time
    verdicts.py          the table of demands, and the exit code
"""
