# SPDX-License-Identifier: BSD-3-Clause
"""Looks for secrets in the memory of a process."""

import re
import sys

CHUNK_BYTES = 1 << 20
PAGE_BYTES = 4096
PAGES_AT_ONCE = 1 << 20
HELD_OR_NOT = re.compile(rb"[\x40-\xff]+|[\x00-\x3f]+", re.DOTALL)
# AddressSanitizer maps terabytes of shadow, which hold no byte of the program's: to ask about each of its pages takes a minute.
SHADOW_BYTES = 1 << 40
NEEDLE_BYTES = 16  # of a longer secret the beginning is looked for: a part of it that is left is too much, too
WORD_BYTES = 8
ZEROS = bytes(CHUNK_BYTES + NEEDLE_BYTES)


def regions(pid):
    """(first, end) of the mappings that can be read and belong to the process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r...)", line)
            if found and not line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                first, end = int(found.group(1), 16), int(found.group(2), 16)
                if end - first < SHADOW_BYTES:
                    yield first, end


def held(pagemap, first, end):
    """(first, end) of what of a mapping is in memory or swapped out. The rest is zeros, or in a file as it was."""
    for start in range(first, end, PAGE_BYTES * PAGES_AT_ONCE):
        pagemap.seek(start // PAGE_BYTES * 8)
        # The two highest bits of each page's word: present, swapped out.
        high = pagemap.read(min((end - start) // PAGE_BYTES, PAGES_AT_ONCE) * 8)[7::8]
        for pages in HELD_OR_NOT.finditer(high):
            if pages.group()[0] & 0xC0:
                yield start + pages.start() * PAGE_BYTES, start + pages.end() * PAGE_BYTES


def words_of(needles):
    """{word: [needles]}: wherever a needle lies, one of these is an aligned word of the memory, which is found sooner than it."""
    words = {}
    for needle in needles:
        for at in range(WORD_BYTES):
            words.setdefault(int.from_bytes(needle[at : at + WORD_BYTES], sys.byteorder), []).append(needle)
    return words


def search(pid, secrets):
    """{name: [addresses]} of those secrets (name: bytes) that the process holds anywhere."""
    needles = {name: secret[:NEEDLE_BYTES] for name, secret in secrets.items()}
    if any(len(needle) < NEEDLE_BYTES for needle in needles.values()):
        raise ValueError("a secret is too short to be told from chance")
    names = {}
    for name, needle in needles.items():
        names.setdefault(needle, []).append(name)
    words, found = words_of(names), {}
    wanted = set(words)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        ranges = [piece for first, end in regions(pid) for piece in held(pagemap, first, end)]
        for first, end in ranges:
            for start in range(first, end, CHUNK_BYTES):
                memory.seek(start)
                try:
                    # The last bytes of a chunk begin what ends in the next one.
                    chunk = memory.read(min(CHUNK_BYTES + NEEDLE_BYTES - 1, end - start))
                except OSError:  # a device, or gone meanwhile
                    continue
                if ZEROS.startswith(chunk):  # as most of what DPDK reserves: that is told at once
                    continue
                aligned = memoryview(chunk)[: len(chunk) // WORD_BYTES * WORD_BYTES].cast("Q")
                for needle in {needle for word in wanted.intersection(aligned) for needle in words[word]}:
                    at = chunk.find(needle)
                    while at >= 0:
                        for name in names[needle]:
                            found.setdefault(name, set()).add(start + at)
                        at = chunk.find(needle, at + 1)
    return {name: sorted(places) for name, places in found.items()}
