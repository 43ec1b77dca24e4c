-- SPDX-License-Identifier: BSD-3-Clause
-- Pktgen runs it: pktgen ... -- ... -f bench/pktgen/tandem.lua (scripts/bench-pktgen.sh).

local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path

local search = require "search"
local settings = search.settings()
local rows = search.run(require "pktgen-source"(pktgen), settings, print)
if settings.json then
	search.write(settings.json, { benchmark = "pktgen", source = "pktgen", quick = settings.quick }, rows)
end
pktgen.quit()
