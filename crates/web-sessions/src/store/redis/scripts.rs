//! Lua scripts: what must happen at once on the keys of one slot.
//!
//! Times that different processes compare are the server's (`TIME`), so that no process needs the clock of another.

use std::sync::LazyLock;

use ::redis::Script;

use super::command::{Command, Invocation};

/// A script and its SHA-1.
pub(super) struct Lua {
    text: &'static str,
    script: LazyLock<Script>,
}

impl Lua {
    /// A call of it.
    pub(super) fn on(&self, keys: impl IntoIterator<Item = String>) -> Command {
        Command::Script(Invocation::new(self.text, &self.script, keys))
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: Lua =
            Lua { text: $text, script: LazyLock::new(|| Script::new($text)) };)*
    };
}

scripts! {
    /// Stores a new record. Keys: record, last seen. Arguments: sealed, generation, creation (ms), name, two index digests, last
    /// seen (ms), time to live (ms).
    CREATE = "
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'g', ARGV[2], 'c', ARGV[3], 'i', ARGV[4], 'w', ARGV[5], 'v', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[8])
return 1";
    /// Sealed record and last use. Keys: record, last seen.
    LOAD = "
local r = redis.call('HGET', KEYS[1], 'r')
if not r then return false end
return {r, redis.call('GET', KEYS[2]) or '0'}";
    /// Stores a changed record, unless the session has ended; with a fifth argument also unless one of the same or a later
    /// generation is stored. Returns the index digests from before. Keys: record, last seen. Arguments: sealed, generation, two
    /// index digests, `fence`.
    REPLACE = "
local old = redis.call('HMGET', KEYS[1], 'g', 'w', 'v', 'r')
if not old[1] then return {0} end
if ARGV[5] == 'fence' and tonumber(old[1]) >= tonumber(ARGV[2]) then
  return {2, old[4], redis.call('GET', KEYS[2]) or '0'}
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'g', ARGV[2], 'w', ARGV[3], 'v', ARGV[4])
return {1, old[2], old[3]}";
    /// Deletes a session. Returns its index digests if there was one. Keys: record, last seen, turn.
    END = "
local old = redis.call('HMGET', KEYS[1], 'i', 'w', 'v')
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
if not old[1] then return false end
return {old[2], old[3]}";
    /// Stores a time of last use. The expiry moves rarely, because it makes every process read the record again. Returns the new
    /// time to live, or 0. Keys: record, last seen. Arguments: at, now, lifetime, least and wanted time to live without use, slack
    /// (all ms).
    TOUCH = "
local c = redis.call('HGET', KEYS[1], 'c')
if not c then return 0 end
local left = tonumber(c) + tonumber(ARGV[3]) + tonumber(ARGV[6]) - tonumber(ARGV[2])
if left <= 0 then return 0 end
local moved = 0
local ttl = redis.call('PTTL', KEYS[1])
if ttl + 1000 < math.min(left, tonumber(ARGV[4])) then
  moved = math.min(left, tonumber(ARGV[5]))
  redis.call('PEXPIRE', KEYS[1], moved)
  ttl = moved
end
local seen = tonumber(redis.call('GET', KEYS[2]) or '0')
redis.call('SET', KEYS[2], string.format('%.0f', math.max(seen, tonumber(ARGV[1]))), 'PX', math.max(ttl, 1))
return moved";
    /// Enters a session into an index, and takes out those that are over. Keys: index. Arguments: entry, time to live (ms).
    INDEX = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1";
    /// Moves the end of an entry, if it is there. Keys: index. Arguments: entry, time to live (ms).
    PROLONG = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZADD', KEYS[1], 'XX', 'GT', 'CH', string.format('%.0f', now + ARGV[2]), ARGV[1])";
    /// Takes out what is over. Returns how many those were, and how many stay. Keys: index.
    SWEEP = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local over = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return {over, redis.call('ZCARD', KEYS[1])}";
    /// Enters something into a bounded set unless it is there. 1: it is new; 0: it was there; -1: there is no room. Keys: set.
    /// Arguments: entry, time to live (ms), limit.
    ENTER = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return -1 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1";
    /// Remembers a sign-out. Keys: sign-outs. Arguments: algorithm, time to remember it (ms).
    SIGN_OUT = "
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1";
    /// The algorithms of sign-outs in the last while. Keys: sign-outs. Arguments: length of the while (ms).
    SIGNED_OUT = "
local t = redis.call('TIME')
local since = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
local found, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(all[i + 1]) >= since then found[#found + 1] = all[i] end
end
return found";
    /// Appends the name of an ended session to the stream. Keys: stream. Arguments: name, most entries, time to keep it (ms).
    ENDED = "
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'i', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";
    /// Takes the turn. Keys: record, turn, last seen. Arguments: generation, number, time of a turn (ms).
    TAKE_TURN = "
local old = redis.call('HMGET', KEYS[1], 'g', 'r')
if not old[1] then return {0} end
if tonumber(old[1]) > tonumber(ARGV[1]) then return {2, old[2], redis.call('GET', KEYS[3]) or '0'} end
local held = redis.call('GET', KEYS[2])
if held and held ~= ARGV[2] then return {3} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {1}";
    /// Keeps the turn. Keys: turn. Arguments: number, time of a turn (ms).
    KEEP_TURN = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";
    /// Ends the turn. Keys: turn. Arguments: number.
    GIVE_UP_TURN = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";
    /// Adds to a counter, and returns its value. Keys: counter. Arguments: amount, time to live (ms).
    ADD = "
local all = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return all";
    /// Keeps an entry unless a later version of it is kept. Keys: entry. Arguments: sealed, version, time to live (ms).
    KEEP = "
local o = redis.call('HGET', KEYS[1], 'o')
if o and tonumber(o) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'o', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";
    /// Remembers something that counts once: 1 if nothing else has, or this attempt has already. Keys: it. Arguments: number of the
    /// attempt, time to live (ms).
    FIRST_USE = "
local held = redis.call('GET', KEYS[1])
if held then return held == ARGV[1] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";
}
