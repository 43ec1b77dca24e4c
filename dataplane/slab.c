// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/slab.h"

#include "common/secret.h"

#include <stdint.h>
#include <sys/mman.h>

#define CHUNK_BYTES (2u << 20) // one large page of x86
#define LINE_BYTES 64u
#define SIZE_MAX_BYTES 8192u
#define CLASSES (SIZE_MAX_BYTES / LINE_BYTES + 1)

struct free_object {
	struct free_object *next;
};

// The first line of every chunk; the objects follow.
struct chunk {
	struct chunk *next;
};

struct size_class {
	struct free_object *free;
	uint8_t *fresh, *fresh_end; // never used part of the newest chunk
};

static struct size_class classes[CLASSES];
static struct chunk *chunks;

static struct chunk *chunk_map(void)
{
	// Map twice the size and cut, so that the chunk is aligned to a large page.
	uint8_t *map =
	    mmap(NULL, 2 * CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	uint8_t *start = (uint8_t *)(((uintptr_t)map + CHUNK_BYTES - 1) & ~(uintptr_t)(CHUNK_BYTES - 1));
	if (start > map)
		munmap(map, (size_t)(start - map));
	size_t tail = (size_t)(map + 2 * CHUNK_BYTES - (start + CHUNK_BYTES));
	if (tail > 0)
		munmap(start + CHUNK_BYTES, tail);
	// Advice only: without it tandem works, slower or with keys in a core dump that is off anyway.
	(void)madvise(start, CHUNK_BYTES, MADV_HUGEPAGE);
	(void)madvise(start, CHUNK_BYTES, MADV_DONTDUMP);
	return (struct chunk *)start;
}

void *td_slab_alloc(size_t size)
{
	size_t rounded = (size + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;

	if (size == 0 || rounded > SIZE_MAX_BYTES)
		return NULL;
	struct size_class *class = &classes[rounded / LINE_BYTES];
	if (class->free) {
		struct free_object *object = class->free;

		class->free = object->next;
		object->next = NULL; // the rest was wiped by td_slab_free
		return object;
	}
	if ((size_t)(class->fresh_end - class->fresh) < rounded) {
		struct chunk *chunk = chunk_map();

		if (!chunk)
			return NULL;
		chunk->next = chunks;
		chunks = chunk;
		class->fresh = (uint8_t *)chunk + LINE_BYTES;
		class->fresh_end = (uint8_t *)chunk + CHUNK_BYTES;
	}
	void *object = class->fresh;
	class->fresh += rounded;
	return object;
}

void td_slab_free(void *object, size_t size)
{
	if (!object)
		return;
	size_t rounded = (size + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
	struct size_class *class = &classes[rounded / LINE_BYTES];
	struct free_object *entry = object;

	td_wipe(object, rounded);
	entry->next = class->free;
	class->free = entry;
}

void td_slab_fini(void)
{
	while (chunks) {
		struct chunk *next = chunks->next;

		td_wipe(chunks, CHUNK_BYTES);
		munmap(chunks, CHUNK_BYTES);
		chunks = next;
	}
	for (unsigned i = 0; i < CLASSES; i++)
		classes[i] = (struct size_class){0};
}
