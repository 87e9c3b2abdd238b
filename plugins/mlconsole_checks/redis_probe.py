"""The probe `redis`: it answers, holds enough keys, among them a sentinel, and has memory left. Only ever reads."""

from __future__ import annotations

from mlconsole.plugin import Context
from mlconsole.plugin.resp import Redis, RedisError, RedisRefusal
from mlconsole.plugin.roles import Sighting
from mlconsole.plugin.web import variable
from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, parse_address, short

_ANSWER = 1 << 24
"""Bytes of one answer: more than any of these commands gives."""

_STEP, _LOOKED_AT = 1000, 1_000_000

_UNWELL = ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "ERR max number of clients")
"""What a Redis answers that is in trouble itself. Everything else that it refuses is a matter of our settings or rights."""


class RedisProbe:
    """See `plugin.roles.Probe`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options

    def look(self, timeout: float) -> Sighting:
        """Ask once."""
        options = self._options
        deadline = Deadline.after(min(timeout, options["timeout"]))
        password = ""
        try:
            host, port = parse_address(options["address"], 6379)
            password = variable(options["password_env"]) if options["password_env"] else ""
            client = Redis(host, port, seconds=deadline.seconds, deadline=deadline, most=_ANSWER, tls=options["tls"])
            try:
                client.open()
                return self._look(client, password)
            finally:
                client.close()
        except Unasked as error:
            return Sighting(None, str(error))
        except Unanswered as error:
            return Sighting(False, str(error))
        except RedisRefusal as error:
            said = short(str(error).replace(password, "…") if password else str(error))
            return Sighting(False if str(error).startswith(_UNWELL) else None, f"Redis refuses: {said}")
        except RedisError as error:
            return Sighting(False, short(str(error)))
        except (AttributeError, TypeError, ValueError):
            return Sighting(False, f"what answers at {short(options['address'])} is no Redis")

    def _look(self, client: Redis, password: str) -> Sighting:
        options = self._options
        first: list[tuple[bytes, ...]] = []
        if password:
            who = (options["username"].encode(),) if options["username"] else ()
            first.append((b"AUTH", *who, password.encode()))
        if options["db"]:
            first.append((b"SELECT", str(options["db"]).encode()))
        # The answer to PING tells a Redis that wants a password from one that can't be asked about its memory.
        client.pipeline([*first, (b"PING",)])
        seen, wrong = [], []
        total = client.call(b"DBSIZE")
        keys, all_of_them = (total, True) if options["match"] is None else self._matching(client)
        pattern = "" if options["match"] is None else f" of {short(options['match'], 40)}"
        found = f"{_figure(keys)} keys{pattern}"
        wanted = options["keys"]
        if wanted is not None and keys < wanted:
            if not all_of_them:
                looked = f"{found} among the first {_figure(_LOOKED_AT)} of {_figure(total)}, wanted at least {_figure(wanted)}"
                return Sighting(None, f"{looked}: too many to look through", float(keys), "keys")
            wrong.append(f"{found}, wanted at least {_figure(wanted)}")
        else:
            seen.append(found if all_of_them else f"at least {found}")
        if options["sentinel"] is not None:
            there = client.call(b"EXISTS", options["sentinel"].encode())
            (seen if there else wrong).append(f"{short(options['sentinel'], 60)} is {'there' if there else 'missing'}")
        if options["memory"] is not None:
            share, of = self._memory(client)
            text = f"memory {_percent(share)}{of}"
            if share > options["memory"]:
                wrong.append(f"{text}, wanted at most {_percent(options['memory'])}")
            else:
                seen.append(text)
        return Sighting(not wrong, "; ".join(wrong) or ", ".join(seen), float(keys), "keys")

    def _matching(self, client: Redis) -> tuple[int, bool]:
        """How many keys match, and whether all were looked at: it stops when there are enough, or after the first million."""
        found: set[bytes] = set()
        enough = self._options["keys"] or _LOOKED_AT
        cursor = b"0"
        for _ in range(_LOOKED_AT // _STEP):
            cursor, keys = client.call(b"SCAN", cursor, b"MATCH", self._options["match"].encode(), b"COUNT", str(_STEP).encode())
            found.update(keys)  # A key may come twice.
            if cursor == b"0":
                return len(found), True
            if len(found) >= enough:
                break
        return len(found), False

    def _memory(self, client: Redis) -> tuple[float, str]:
        """The share of the memory that is used, and of what that is, where it is not its own maximum."""
        lines = client.call(b"INFO", b"memory").decode("ascii", "replace").splitlines()
        said = {name: value for name, _, value in (line.partition(":") for line in lines)}
        try:
            used, most, machine = (int(said[name]) for name in ("used_memory", "maxmemory", "total_system_memory"))
            return (used / most, "") if most else (used / machine, " of the machine's (no maxmemory is set)")
        except (KeyError, ValueError, ZeroDivisionError):
            raise Unasked("Redis does not say how much memory it may use") from None


def _figure(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
