"""The local stack: private MariaDB, Redis and RabbitMQ servers and sluice's services, supervised.

The command line (cli) writes what is wanted into a file and wakes the supervisor; the supervisor
makes it so and writes what is into another file. Either may be killed at any time: what is wanted,
what runs and under which ports is always on disk, and every process is known by pid and start time.
"""
