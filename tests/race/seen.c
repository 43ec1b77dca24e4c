// SPDX-License-Identifier: BSD-3-Clause
#include "tests/race/seen.h"

#include "common/limits.h"

#include <dlfcn.h>
#include <pthread.h>
#include <rte_launch.h>
#include <rte_mempool.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>
#include <string.h>

// What librte_lpm, librte_acl and others write by memset or memcpy is theirs: the store that publishes it is
// inside the library, where ThreadSanitizer does not see it. Calls from our code are still looked at.
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66";
}

void td_seen_give(struct rte_mbuf **mbufs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		__tsan_release(mbufs[i]);
}

void td_seen_take(struct rte_mbuf **mbufs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		__tsan_acquire(mbufs[i]);
}

// ---- packet buffers ---------------------------------------------------------------------------

struct stack {
	pthread_mutex_t lock;
	unsigned count, size;
	void *objects[];
};

static int stack_alloc(struct rte_mempool *pool)
{
	struct stack *stack = calloc(1, sizeof(*stack) + pool->size * sizeof(void *));

	if (!stack)
		return -ENOMEM;
	pthread_mutex_init(&stack->lock, NULL);
	stack->size = pool->size;
	pool->pool_data = stack;
	return 0;
}

static void stack_free(struct rte_mempool *pool)
{
	free(pool->pool_data);
}

static int stack_enqueue(struct rte_mempool *pool, void *const *objects, unsigned count)
{
	struct stack *stack = pool->pool_data;
	int result = -ENOBUFS;

	pthread_mutex_lock(&stack->lock);
	if (stack->count + count <= stack->size) {
		memcpy(&stack->objects[stack->count], objects, count * sizeof(void *));
		stack->count += count;
		result = 0;
	}
	pthread_mutex_unlock(&stack->lock);
	return result;
}

static int stack_dequeue(struct rte_mempool *pool, void **objects, unsigned count)
{
	struct stack *stack = pool->pool_data;
	int result = -ENOENT;

	pthread_mutex_lock(&stack->lock);
	if (stack->count >= count) {
		stack->count -= count;
		memcpy(objects, &stack->objects[stack->count], count * sizeof(void *));
		result = 0;
	}
	pthread_mutex_unlock(&stack->lock);
	return result;
}

static unsigned stack_count(const struct rte_mempool *pool)
{
	struct stack *stack = pool->pool_data;

	pthread_mutex_lock(&stack->lock);
	unsigned count = stack->count;
	pthread_mutex_unlock(&stack->lock);
	return count;
}

static const struct rte_mempool_ops stack_ops = {
    .name = "seen",
    .alloc = stack_alloc,
    .free = stack_free,
    .enqueue = stack_enqueue,
    .dequeue = stack_dequeue,
    .get_count = stack_count,
};
RTE_MEMPOOL_REGISTER_OPS(stack_ops)

// In place of librte_mbuf's.
struct rte_mempool *rte_pktmbuf_pool_create(
    const char *name, unsigned count, unsigned cache_size, uint16_t private_size, uint16_t room, int socket)
{
	return rte_pktmbuf_pool_create_by_ops(name, count, cache_size, private_size, room, socket, "seen");
}

// ---- threads ----------------------------------------------------------------------------------

static struct thread {
	lcore_function_t *function;
	void *argument;
} threads[RTE_MAX_LCORE];

static int thread_run(void *argument)
{
	struct thread *thread = argument;

	__tsan_acquire(thread);
	int result = thread->function(thread->argument);
	__tsan_release(threads);
	return result;
}

// In place of librte_eal's.
int rte_eal_remote_launch(lcore_function_t *function, void *argument, unsigned lcore)
{
	int (*launch)(lcore_function_t *, void *, unsigned) = dlsym(RTLD_NEXT, __func__);
	struct thread *thread = &threads[lcore];

	*thread = (struct thread){function, argument};
	__tsan_release(thread);
	return launch(thread_run, thread, lcore);
}

void rte_eal_mp_wait_lcore(void)
{
	void (*wait)(void) = dlsym(RTLD_NEXT, __func__);

	wait();
	__tsan_acquire(threads);
}
