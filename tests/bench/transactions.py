# SPDX-License-Identifier: MIT
"""usage: transactions.py DATABASE MODE SECONDS: transactions a second of SQLite, one row each.

MODE full: a rollback journal, every transaction is durable when it returns. MODE wal: a write-ahead
log with synchronous=normal, the usual setting with it: durable at checkpoints.
"""
import json
import sqlite3
import sys
import time

path, mode, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
db = sqlite3.connect(path, isolation_level=None)
db.execute("pragma journal_mode=" + ("delete" if mode == "full" else "wal"))
db.execute("pragma synchronous=" + ("full" if mode == "full" else "normal"))
db.execute("create table t(n integer primary key, v blob)")
value = bytes(range(100))
count, start = 0, time.monotonic()
while True:
    db.execute("insert into t(v) values (?)", (value,))
    count += 1
    if count % 16 == 0 and time.monotonic() - start >= seconds:
        break
rate = count / (time.monotonic() - start)
assert db.execute("select count(*) from t").fetchone() == (count,)
print(json.dumps({"rate": rate}))
