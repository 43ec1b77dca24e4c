-- SPDX-License-Identifier: BSD-3-Clause
-- The same searches with the built-in source (source.c), which builtin.py has started: a line with size, packets a second
-- (0: as many as it can) and milliseconds goes to one pipe, a line with the figures comes from another one.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path

local search = require "search"
local settings = search.settings()
local orders, answers = assert(io.open(arg[1], "w")), assert(io.open(arg[2], "r"))
local source, size = {}, nil

function source.prepare(wanted)
	size = wanted == "imix" and 0 or wanted
end

function source.trial(rate, seconds)
	orders:write(string.format("%d %d %d\n", size, math.floor(rate), math.floor(seconds * 1000)))
	orders:flush()
	local line = assert(answers:read("l"), "the source has ended")
	local sent, received, ns, median, most = line:match("^(%d+) (%d+) (%d+) ([%d.]+) ([%d.]+)$")
	local result = { sent = tonumber(sent), received = tonumber(received), seconds = tonumber(ns) / 1e9 }
	-- Packets are told apart by their order, which a lost one spoils.
	if result.sent == result.received and result.sent > 0 then
		result.latency = { median_us = tonumber(median), p999_us = tonumber(most) }
	end
	return result
end

function source.pps(result)
	return result.received / result.seconds
end

function source.limits()
	local most = source.trial(0, settings.trial_s)
	local high = most.received / most.seconds
	return { low = high / 100, high = high, step = high / 100 }
end

local rows = search.run(source, settings, print)
search.write(settings.json, { benchmark = "pktgen", source = "built-in", quick = settings.quick }, rows)
for _, row in ipairs(rows) do
	if row.failed and row.test ~= "storm" and not settings.quick then
		os.exit(1)
	end
end
