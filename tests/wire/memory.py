# SPDX-License-Identifier: BSD-3-Clause
"""Looks for secrets in the memory of a process."""

import re

CHUNK_BYTES = 16 << 20
NEEDLE_BYTES = 16  # of a longer secret the beginning is looked for: a part of it that is left is too much, too


def regions(pid):
    """(first, end) of the mappings that can be read and belong to the process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r...)", line)
            if found and not line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                yield int(found.group(1), 16), int(found.group(2), 16)


def search(pid, secrets):
    """{name: [addresses]} of those secrets (name: bytes) that the process holds anywhere."""
    needles = {name: secret[:NEEDLE_BYTES] for name, secret in secrets.items()}
    if any(len(needle) < NEEDLE_BYTES for needle in needles.values()):
        raise ValueError("a secret is too short to be told from chance")
    pattern = re.compile(b"|".join(re.escape(needle) for needle in set(needles.values())))
    names = {}
    for name, needle in needles.items():
        names.setdefault(needle, []).append(name)
    found = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for first, end in regions(pid):
            for start in range(first, end, CHUNK_BYTES):
                memory.seek(start)
                try:
                    # The last bytes of a chunk begin what ends in the next one.
                    chunk = memory.read(min(CHUNK_BYTES + NEEDLE_BYTES - 1, end - start))
                except OSError:  # a device, or gone meanwhile
                    continue
                for match in pattern.finditer(chunk):
                    for name in names[match.group()]:
                        found.setdefault(name, set()).add(start + match.start())
    return {name: sorted(places) for name, places in found.items()}
