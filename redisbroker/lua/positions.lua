-- Returns the positions of streams and the life of the server, and lets those streams that
-- exist go on. ARGV: how long a stream goes on in ms, the streams. A server that takes no
-- writes, since its disk is full, still answers.
local now = era()
local positions = {}
for i = 2, #ARGV do
	local epoch, offset = position(ARGV[i], now)
	if epoch ~= '' and tonumber(ARGV[1]) >= 0 then
		redis.pcall('PEXPIRE', prefix .. 'm:' .. ARGV[i], ARGV[1])
	end
	positions[#positions + 1] = epoch
	positions[#positions + 1] = offset
end
positions[#positions + 1] = life
return positions
