-- Appends batches and publishes them to the hubs. ARGV: a name for a new era, the limits
-- of a stream (messages, bytes, age in ms), how long a source is remembered in ms, the
-- command that publishes, the life of the server to which the hub has published last, or
-- '', how long ago in ms that was, the era that the hub knows, or ''; then for each batch
-- its source, its number of 20 digits, the count of its messages, and for each of these the
-- stream and the payload. Returns the life of the server and its era. If that is another one
-- than the hub knows, nothing is appended.
local now, begun = era(ARGV[1])
local max_messages, max_bytes, max_age = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local remember, publish = ARGV[5], ARGV[6]
local ms = milliseconds()
if ARGV[7] ~= '' and ARGV[7] ~= life then
	-- What the hub has published elsewhere since the era has begun here is lost, while pages
	-- have positions of this era: another one tells them. Clocks run at different speeds.
	if begun and ms - begun >= tonumber(ARGV[8]) * 0.999 then
		now = ARGV[1]
		begin(now)
		redis.call(publish, prefix .. 'end', '!')
	end
end
if ARGV[9] ~= now then
	return { life, now }
end
local streams = {} -- those that were touched, by name; false: it does not exist

-- load reads what is known of a stream: its position, the average size of its
-- messages, a time and the offset at that time, and the offset one max_age earlier.
local function load(stream)
	local m = redis.call('HMGET', prefix .. 'm:' .. stream, 'era', 'epoch', 'offset', 'size', 't1', 'o1', 'o0')
	if m[1] ~= now then
		return false
	end
	return {
		epoch = m[2], offset = tonumber(m[3]), size = tonumber(m[4] or 0),
		t1 = tonumber(m[5] or ms), o1 = tonumber(m[6] or 0), o0 = tonumber(m[7] or 0),
	}
end

local function append(stream, payload)
	local s = streams[stream]
	if s == nil then
		s = load(stream)
		streams[stream] = s
	end
	if not s then
		return nil
	end
	s.offset = s.offset + 1
	s.size = s.size == 0 and #payload + 128 or s.size * 0.95 + (#payload + 128) * 0.05
	local keep = max_messages
	if max_bytes >= 0 and (keep < 0 or s.size * keep > max_bytes) then
		keep = math.max(1, math.floor(max_bytes / s.size))
	end
	local id = string.format('%.0f-0', s.offset)
	if keep >= 0 then
		redis.call('XADD', prefix .. 's:' .. stream, 'MAXLEN', '~', keep, id, 'p', payload)
	else
		redis.call('XADD', prefix .. 's:' .. stream, id, 'p', payload)
	end
	return s
end

-- save writes what has changed of a stream. Once in max_age it drops the messages that
-- were there one max_age ago.
local function save(stream, s)
	if max_age >= 0 and ms - s.t1 > max_age then
		if s.o0 > 0 then
			redis.call('XTRIM', prefix .. 's:' .. stream, 'MINID', string.format('%.0f-0', s.o0 + 1))
		end
		s.t1, s.o0, s.o1 = ms, s.o1, s.offset
	end
	redis.call('HSET', prefix .. 'm:' .. stream, 'offset', string.format('%.0f', s.offset), 'size', s.size,
		't1', string.format('%.0f', s.t1), 'o1', string.format('%.0f', s.o1), 'o0', string.format('%.0f', s.o0))
	if max_age >= 0 then
		redis.call('PEXPIRE', prefix .. 's:' .. stream, 2 * max_age)
	end
end

local at = 10
while at < #ARGV do
	local source, number, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
	at = at + 3
	local key = prefix .. 'n:' .. source
	local taken = redis.call('GET', key)
	if not taken or number > taken then
		redis.call('SET', key, number, 'PX', remember)
		local tag = source .. ' ' .. number
		local frames, order = {}, {}
		for i = 1, count do
			local stream, payload = ARGV[at + 2 * i - 2], ARGV[at + 2 * i - 1]
			local s = append(stream, payload)
			if s then
				if not frames[stream] then
					frames[stream] = {}
					order[#order + 1] = stream
				end
				local f = frames[stream]
				f[#f + 1] = string.format('%d %.0f %d ', i, s.offset, #payload) .. payload
			end
		end
		for _, stream in ipairs(order) do
			-- The length of the tag, whether an end follows, the tag, the epoch, the messages.
			local more = #order > 1 and 1 or 0
			redis.call(publish, prefix .. 'c:' .. stream,
				string.format('%d %d %s %s ', #tag, more, tag, streams[stream].epoch) .. table.concat(frames[stream]))
		end
		if #order > 1 then
			redis.call(publish, prefix .. 'end', tag)
		end
	end
	at = at + 2 * count
end
for stream, s in pairs(streams) do
	if s then
		save(stream, s)
	end
end
return { life, now }
