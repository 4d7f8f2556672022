-- Precedes each script. KEYS[1] says to which life of the server all keys of the
-- application belong. The others have the same prefix, and so the same slot.
local prefix = string.sub(KEYS[1], 1, -5)

-- life changes with each start of a master, whatever it has loaded, and with a promotion. A
-- run id would not change with a promotion.
local life = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')

-- milliseconds returns the time of the server.
local function milliseconds()
	local time = redis.call('TIME')
	return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- begin begins an era.
local function begin(name)
	redis.call('DEL', KEYS[1])
	redis.call('HSET', KEYS[1], 'run', life, 'era', name, 'begun', string.format('%.0f', milliseconds()))
end

-- era returns the name of the era, and when it has begun, if it has not begun now. It ends
-- with the life of the server, and with the loss of all keys: then messages may be lost.
-- Where a new one begins, its name is fresh. It returns nil if there is none and fresh is nil.
local function era(fresh)
	local known = redis.call('HMGET', KEYS[1], 'run', 'era', 'begun')
	if known[1] == life then
		return known[2], tonumber(known[3] or 0)
	end
	if fresh then
		begin(fresh)
	end
	return fresh
end

-- position returns the epoch and the offset of a stream, '' and '0' if it does not exist.
local function position(stream, now)
	local m = redis.call('HMGET', prefix .. 'm:' .. stream, 'era', 'epoch', 'offset')
	if now and m[1] == now then
		return m[2], m[3]
	end
	return '', '0'
end
