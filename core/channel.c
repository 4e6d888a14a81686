#include "channel.h"

#include <string.h>

#include "copy.h"
#include "failpoint.h"
#include "lock.h"
#include "owner.h"
#include "patience.h"
#include "platform.h"

static uint64_t aligned(uint64_t value)
{
    return (value + PCN_CACHE_LINE - 1) / PCN_CACHE_LINE * PCN_CACHE_LINE;
}

static uint64_t head_size(uint32_t workers)
{
    return aligned(sizeof(struct pcn_channel) + workers * sizeof(struct pcn_claim));
}

uint64_t pcn_channel_size(uint32_t workers, uint64_t tasks, uint64_t results)
{
    return head_size(workers) + tasks + results;
}

struct pcn_channel *pcn_channel_init(struct pcn_arena *arena, uint64_t offset,
                                     uint32_t workers, uint64_t tasks, uint64_t results,
                                     uint32_t cores)
{
    struct pcn_channel *channel = (struct pcn_channel *)(void *)(arena->base + offset);
    memset(channel, 0, head_size(workers));
    pcn_ring_init(&channel->tasks, offset + head_size(workers), tasks);
    pcn_ring_init(&channel->results, offset + head_size(workers) + tasks, results);
    channel->parent = arena->me;
    channel->workers = workers;
    channel->cores = cores;
    channel->self = offset;
    for (uint32_t worker = 0; worker < workers; worker++)
        pcn_claim_reset(&channel->claims[worker]);
    return channel;
}

/* Put the payload where it belongs; a large one into a block of this process. */
static enum pcn_status place_payload(struct pcn_arena *arena, struct pcn_message *message,
                                     const struct pcn_part *parts, uint32_t count, bool wait)
{
    message->block = 0;
    message->length = 0;
    for (uint32_t i = 0; i < count; i++)
        message->length += parts[i].length;
    if (message->length <= PCN_INLINE_LIMIT)
        return PCN_OK;
    pcn_block_id block;
    enum pcn_status status = pcn_block_allocate(arena, message->length, &block, wait);
    if (status != PCN_OK)
        return status;
    uint8_t *to = pcn_block_bytes(arena, block);
    for (uint32_t i = 0; i < count; i++) {
        pcn_copy(to, parts[i].bytes, parts[i].length);
        to += parts[i].length;
    }
    PCN_FAILPOINT("channel.payload.copied");
    message->block = block;
    return PCN_OK;
}

static enum pcn_status push(struct pcn_arena *arena, struct pcn_ring *ring,
                            const struct pcn_message *message, const struct pcn_part *parts,
                            uint32_t count, bool wait, uint64_t *position)
{
    struct pcn_part all[1 + PCN_ANSWER_PARTS] = {{message, sizeof *message}};
    uint32_t used = 1;
    for (uint32_t i = 0; i < count && !message->block; i++)
        all[used++] = parts[i];
    return pcn_ring_push(arena, ring, all, used, wait, position);
}

/* Undo place_payload() for a record that did not go out. */
static void withdraw(struct pcn_arena *arena, struct pcn_message *message)
{
    if (message->block)
        pcn_block_free(arena, message->block, false, true);
    message->block = 0;
}

static bool fits(const struct pcn_ring *ring, uint64_t payload)
{
    uint64_t need = PCN_RECORD_HEAD + sizeof(struct pcn_message) + 8 +
                    (payload > PCN_INLINE_LIMIT ? 0 : payload);
    uint64_t used = pcn_load_relaxed64(&ring->head) - pcn_load_relaxed64(&ring->tail);
    return ring->capacity - used >= need;
}

static void ring_for_worker(struct pcn_channel *channel)
{
    /* A spinning worker will see the record by itself, or look again before it sleeps.
     * SYNC(channel.spinner): the record is published before we look for a spinner; it
     * clears its name before it looks for records. One of the two sees the other. */
    pcn_fence_seq_cst();
    if (pcn_load_relaxed64(&channel->spinner) == 0)
        pcn_doorbell_ring(&channel->work);
}

enum pcn_status pcn_channel_submit(struct pcn_arena *arena, struct pcn_channel *channel,
                                   struct pcn_message *message, const void *payload, bool wait,
                                   uint64_t *position)
{
    if (!fits(&channel->tasks, message->length))
        return PCN_FULL; /* before a large payload is copied for nothing */
    const struct pcn_part part = {payload, message->length};
    enum pcn_status status = place_payload(arena, message, &part, 1, wait);
    if (status == PCN_OK) {
        status = push(arena, &channel->tasks, message, &part, 1, wait, position);
        if (status != PCN_OK)
            withdraw(arena, message);
    }
    PCN_FAILPOINT("channel.submit.published");
    if (status == PCN_OK)
        ring_for_worker(channel);
    return status;
}

bool pcn_channel_has_news(const struct pcn_channel *channel)
{
    return pcn_ring_has_records(&channel->results);
}

enum pcn_status pcn_channel_collect(struct pcn_arena *arena, struct pcn_channel *channel,
                                    uint8_t *to, uint64_t room, uint64_t *used, bool wait)
{
    struct pcn_ring *ring = &channel->results;
    *used = 0;
    if (!pcn_ring_has_records(ring))
        return PCN_EMPTY;
    if (pcn_ring_lock(arena, ring, wait) == PCN_BUSY)
        return PCN_BUSY;
    uint64_t position = pcn_ring_tail(ring);
    uint64_t length;
    while (pcn_ring_look(arena, ring, position, &length) == PCN_OK) {
        uint64_t padded = (length + 7u) & ~(uint64_t)7u;
        if (*used + padded > room)
            break;
        struct pcn_message message;
        pcn_ring_copy(arena, ring, position, 0, to + *used, length);
        memcpy(&message, to + *used, sizeof message);
        if (message.block) /* before retiring, see pcn_block_reclaim() */
            pcn_block_adopt(arena, message.block);
        PCN_FAILPOINT("channel.collect.copied");
        *used += padded;
        position = pcn_ring_next(position, length);
    }
    if (*used)
        pcn_ring_retire(ring, position);
    pcn_ring_unlock(ring);
    if (!*used)
        return PCN_EMPTY;
    pcn_ring_report_space(ring);
    return PCN_OK;
}

/* How many of the workers hold a task now: they need cores, a spinner must not. */
static uint32_t busy_workers(const struct pcn_channel *channel)
{
    uint32_t busy = 0;
    uint32_t high = pcn_load_relaxed32(&channel->seats_high);
    for (uint32_t worker = 0; worker < high; worker++)
        busy += pcn_load_relaxed32(&channel->claims[worker].busy);
    return busy;
}

static bool has_records(const void *ring)
{
    return pcn_ring_has_records(ring);
}

static enum pcn_status slept(enum pcn_slept how)
{
    switch (how) {
    case PCN_SLEPT_SIGNAL:
        return PCN_SIGNAL;
    case PCN_SLEPT_TIMEOUT:
        return PCN_TIMEOUT;
    default:
        return PCN_OK;
    }
}

/* Whether a task waits for a worker that is to wake up on the very core that we would burn: where
 * the kernel wakes a sleeper beside who called it, it can not run before we sleep. */
static bool is_in_the_way(const struct pcn_channel *channel)
{
    uint32_t here = pcn_core(), high = pcn_load_relaxed32(&channel->seats_high);
    bool any = false;
    if (!pcn_ring_has_records(&channel->tasks))
        return false;
    for (uint32_t worker = 0; worker < high; worker++) {
        const struct pcn_claim *claim = &channel->claims[worker];
        if (pcn_load_relaxed64(&claim->token) == 0 || pcn_claim_duty(claim) != PCN_SERVE)
            continue;
        if (pcn_load_relaxed32(&claim->core) != here)
            return false;
        any = true;
    }
    return any && here != 0;
}

uint32_t pcn_channel_pokes(const struct pcn_channel *channel)
{
    return pcn_load_relaxed32(&channel->pokes);
}

enum pcn_status pcn_channel_wait_news(struct pcn_channel *channel, uint32_t pokes_seen,
                                      uint64_t timeout_ns)
{
    struct pcn_ring *ring = &channel->results;
    if (pcn_ring_has_records(ring) || pcn_channel_pokes(channel) != pokes_seen)
        return PCN_OK;
    if (timeout_ns == 0)
        return PCN_TIMEOUT;
    uint32_t busy = busy_workers(channel);
    if ((busy > 0 || !is_in_the_way(channel)) &&
        pcn_spin_beside(has_records, ring, &channel->news_misses, busy < channel->cores))
        return PCN_OK;
    uint32_t ticket = pcn_doorbell_arm(&channel->news);
    if (pcn_ring_has_records(ring) || pcn_channel_pokes(channel) != pokes_seen)
        return PCN_OK;
    return slept(pcn_doorbell_sleep(&channel->news, ticket, timeout_ns));
}

void pcn_channel_poke(struct pcn_channel *channel)
{
    pcn_add_relaxed32(&channel->pokes, 1);
    pcn_doorbell_broadcast(&channel->news); /* begins with a full fence */
}

void pcn_channel_close(struct pcn_channel *channel)
{
    /* SYNC(channel.close): tasks sent before are seen by whoever sees the closing. */
    pcn_store_release32(&channel->closed, 1);
    pcn_doorbell_broadcast(&channel->work);
    pcn_doorbell_broadcast(&channel->bench);
}

/* Become the one spinner, if a core is spare and nobody (living) spins. */
static bool start_spinning(struct pcn_arena *arena, struct pcn_channel *channel)
{
    if (busy_workers(channel) + 1 >= channel->cores)
        return false; /* the parent needs one */
    uint64_t expected = 0;
    return pcn_cas_relaxed64(&channel->spinner, &expected, arena->me);
}

/* Not to wait any longer: there are tasks, no more will come, or it is to leave or to sit on the
 * bench. SYNC(channel.close): closing is announced before the bell is rung. */
static bool has_work(const struct pcn_channel *channel, uint32_t worker)
{
    return pcn_ring_has_records(&channel->tasks) || pcn_load_acquire32(&channel->closed) ||
           pcn_claim_duty(&channel->claims[worker]) != PCN_SERVE;
}

static enum pcn_status wait_on_the_bench(struct pcn_channel *channel, uint32_t worker,
                                         uint64_t timeout_ns)
{
    uint32_t ticket = pcn_doorbell_arm(&channel->bench);
    /* SYNC(channel.close): see has_work(). */
    if (pcn_claim_duty(&channel->claims[worker]) != PCN_BENCH ||
        pcn_load_acquire32(&channel->closed))
        return PCN_OK;
    PCN_FAILPOINT("channel.bench.armed");
    return slept(pcn_doorbell_sleep(&channel->bench, ticket, timeout_ns));
}

enum pcn_status pcn_channel_wait_work(struct pcn_arena *arena, struct pcn_channel *channel,
                                      uint32_t worker, uint64_t timeout_ns)
{
    struct pcn_ring *ring = &channel->tasks;
    if (pcn_claim_duty(&channel->claims[worker]) == PCN_BENCH)
        return wait_on_the_bench(channel, worker, timeout_ns);
    if (has_work(channel, worker))
        return PCN_OK;
    if (start_spinning(arena, channel)) {
        bool found = pcn_spin_beside(has_records, ring, &channel->work_misses, true);
        PCN_FAILPOINT("channel.wait.spun");
        pcn_store_relaxed64(&channel->spinner, 0);
        /* SYNC(channel.spinner): who saw us spin has published; the looks below, or those
         * of the claim that follows, find it. */
        pcn_fence_seq_cst();
        if (found)
            return PCN_OK;
    }
    uint32_t ticket = pcn_doorbell_arm(&channel->work);
    if (has_work(channel, worker))
        return PCN_OK;
    pcn_store_relaxed32(&channel->claims[worker].core, pcn_core());
    enum pcn_status how = slept(pcn_doorbell_sleep(&channel->work, ticket, timeout_ns));
    pcn_store_relaxed32(&channel->claims[worker].core, 0);
    return how;
}

static enum pcn_status publish_answer(struct pcn_arena *arena, struct pcn_channel *channel,
                                      struct pcn_message *message,
                                      const struct pcn_part *parts, uint32_t count, bool wait)
{
    if (message->block)
        pcn_block_send(arena, message->block, channel->parent);
    PCN_FAILPOINT("channel.answer.placed");
    enum pcn_status status = push(arena, &channel->results, message, parts, count, wait, NULL);
    if (status != PCN_OK)
        return status;
    PCN_FAILPOINT("channel.answer.published");
    pcn_doorbell_ring(&channel->news);
    return PCN_OK;
}

enum pcn_status pcn_channel_answer(struct pcn_arena *arena, struct pcn_channel *channel,
                                   struct pcn_message *message, const struct pcn_part *parts,
                                   uint32_t count, bool wait)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += parts[i].length;
    if (!fits(&channel->results, length))
        return PCN_FULL; /* before a large payload is copied for nothing */
    enum pcn_status status = place_payload(arena, message, parts, count, wait);
    if (status != PCN_OK)
        return status;
    status = publish_answer(arena, channel, message, parts, count, wait);
    if (status != PCN_OK)
        withdraw(arena, message);
    return status;
}

enum pcn_status pcn_channel_answer_block(struct pcn_arena *arena, struct pcn_channel *channel,
                                         struct pcn_message *message, bool wait)
{
    message->length = pcn_block_length(arena, message->block);
    return publish_answer(arena, channel, message, NULL, 0, wait);
}

enum pcn_status pcn_channel_wait_room(struct pcn_channel *channel, uint64_t length,
                                      uint64_t timeout_ns)
{
    struct pcn_ring *ring = &channel->results;
    uint32_t ticket = pcn_doorbell_arm(&ring->drained);
    if (fits(ring, length))
        return PCN_OK;
    return slept(pcn_doorbell_sleep(&ring->drained, ticket, timeout_ns));
}
