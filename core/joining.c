#include "failpoint.h"
#include "heap.h"
#include "platform.h"

static uint64_t bytes_at(const struct pcn_arena *arena, uint32_t index)
{
    return pcn_load_relaxed64(&pcn_block_at(arena, index)->capacity);
}

static bool is_free(const struct pcn_arena *arena, uint32_t index)
{
    return pcn_load_relaxed32(&pcn_block_at(arena, index)->state) == PCN_BLOCK_FREE;
}

bool pcn_heap_tightest(const struct pcn_arena *arena, uint64_t bytes, struct pcn_run *run)
{
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
    uint32_t first = 0; /* of the free neighbours that end at `index` and are barely enough */
    uint64_t sum = 0;
    run->bytes = UINT64_MAX;
    for (uint32_t index = 0; index < high; index++) {
        if (!is_free(arena, index)) {
            first = index + 1;
            sum = 0;
            continue;
        }
        sum += bytes_at(arena, index);
        while (sum - bytes_at(arena, first) >= bytes)
            sum -= bytes_at(arena, first++);
        if (sum >= bytes && sum < run->bytes) {
            run->first = first;
            run->count = index - first + 1;
            run->bytes = sum;
        }
    }
    if (run->bytes == UINT64_MAX)
        return false;
    run->cold = 0;
    for (uint32_t index = run->first; index < run->first + run->count; index++)
        if (!pcn_load_relaxed32(&pcn_block_at(arena, index)->warm))
            run->cold += bytes_at(arena, index);
    return true;
}

bool pcn_heap_retract(struct pcn_arena *arena, uint64_t bytes)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t high = pcn_load_relaxed32(&head->blocks_high), first = high;
    while (first > 0 && is_free(arena, first - 1))
        first--;
    if (first == high ||
        arena->reserve - pcn_load_relaxed64(&pcn_block_at(arena, first)->offset) < bytes)
        return false;
    for (; high > first; high--) {
        struct pcn_block *block = pcn_block_at(arena, high - 1);
        if (pcn_load_relaxed32(&block->warm)) {
            uint64_t own = pcn_load_relaxed64(&block->capacity);
            pcn_store_relaxed32(&block->warm, 0);
            PCN_FAILPOINT("block.retract.marked");
            pcn_return_pages(arena->fd, pcn_load_relaxed64(&block->offset), own);
            pcn_heap_account(&head->paged, 0, own);
            pcn_heap_account(&head->warm_free, 0, own);
        }
        /* SYNC(block.table): it is not counted any more before it is another one's place. Whoever
         * looks without the lock may take it for what it was. */
        pcn_store_release32(&head->blocks_high, high - 1);
        PCN_FAILPOINT("block.retract.uncounted");
    }
    pcn_heap_relink(arena);
    return true;
}
