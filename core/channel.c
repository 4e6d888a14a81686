#include "channel.h"

#include <string.h>

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
        pcn_store_relaxed64(&channel->claims[worker].until, PCN_NO_CLAIM);
    return channel;
}

/* Put the payload where it belongs; a large one into a block of this process. */
static enum pcn_status place_payload(struct pcn_arena *arena, struct pcn_message *message,
                                     const void *payload, bool wait)
{
    message->block = 0;
    if (message->length <= PCN_INLINE_LIMIT)
        return PCN_OK;
    pcn_block_id block;
    enum pcn_status status = pcn_block_allocate(arena, message->length, &block, wait);
    if (status != PCN_OK)
        return status;
    memcpy(pcn_block_bytes(arena, block), payload, message->length);
    PCN_FAILPOINT("channel.payload.copied");
    message->block = block;
    return PCN_OK;
}

static enum pcn_status push(struct pcn_arena *arena, struct pcn_ring *ring,
                            const struct pcn_message *message, const void *payload, bool wait)
{
    const struct pcn_part parts[] = {
        {message, sizeof *message},
        {payload, message->block ? 0 : message->length},
    };
    return pcn_ring_push(arena, ring, parts, 2, wait);
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
                                   struct pcn_message *message, const void *payload, bool wait)
{
    if (!fits(&channel->tasks, message->length))
        return PCN_FULL; /* before a large payload is copied for nothing */
    enum pcn_status status = place_payload(arena, message, payload, wait);
    if (status == PCN_OK) {
        status = push(arena, &channel->tasks, message, payload, wait);
        if (status != PCN_OK)
            withdraw(arena, message);
    }
    PCN_FAILPOINT("channel.submit.published");
    if (status == PCN_OK)
        ring_for_worker(channel);
    return status;
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
    for (uint32_t worker = 0; worker < channel->workers; worker++)
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
    bool spare = busy_workers(channel) < channel->cores;
    if (pcn_spin_beside(has_records, ring, &channel->news_misses, spare))
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
}

void pcn_channel_sit(struct pcn_arena *arena, struct pcn_channel *channel, uint32_t worker)
{
    struct pcn_claim *claim = &channel->claims[worker];
    pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    pcn_store_relaxed32(&claim->busy, 0);
    PCN_FAILPOINT("channel.sit.cleared");
    pcn_store_relaxed64(&claim->token, arena->me);
    PCN_FAILPOINT("channel.sit.seated");
}

/* The last consumer died under the lock, perhaps between writing its claim and retiring
 * the record: a claim that reaches beyond tail never came to be. Only the lock's holder
 * writes such claims, so each one found here is a dead one's. */
static void void_unmade_claims(struct pcn_channel *channel)
{
    uint64_t tail = pcn_ring_tail(&channel->tasks);
    for (uint32_t worker = 0; worker < channel->workers; worker++) {
        struct pcn_claim *claim = &channel->claims[worker];
        uint64_t until = pcn_load_relaxed64(&claim->until);
        if (until != PCN_NO_CLAIM && until > tail)
            pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    }
}

enum pcn_status pcn_channel_claim(struct pcn_arena *arena, struct pcn_channel *channel,
                                  uint32_t worker, struct pcn_message *message, void *payload,
                                  bool wait)
{
    struct pcn_ring *ring = &channel->tasks;
    struct pcn_claim *claim = &channel->claims[worker];
    /* SYNC(channel.close): if it was closed before, the look below sees all tasks. */
    bool closed = pcn_load_acquire32(&channel->closed);
    if (!pcn_ring_has_records(ring))
        return closed ? PCN_CLOSED : PCN_EMPTY;
    enum pcn_status got = pcn_ring_lock(arena, ring, wait);
    if (got == PCN_BUSY)
        return got;
    if (got == PCN_OWNER_DIED)
        void_unmade_claims(channel);
    PCN_FAILPOINT("channel.claim.locked");
    uint64_t position = pcn_ring_tail(ring);
    uint64_t length;
    if (pcn_ring_look(arena, ring, position, &length) == PCN_EMPTY) {
        pcn_ring_unlock(ring);
        return closed ? PCN_CLOSED : PCN_EMPTY;
    }
    pcn_ring_copy(arena, ring, position, 0, message, sizeof *message);
    if (!message->block)
        pcn_ring_copy(arena, ring, position, sizeof *message, payload, message->length);
    uint64_t until = pcn_ring_next(position, length);
    pcn_store_relaxed64(&claim->task, message->task);
    pcn_store_relaxed32(&claim->started, 0);
    pcn_store_relaxed64(&claim->item, 0);
    pcn_store_relaxed64(&claim->since, pcn_now_ns());
    PCN_FAILPOINT("channel.claim.written");
    pcn_store_relaxed64(&claim->until, until);
    PCN_FAILPOINT("channel.claim.signed");
    pcn_ring_retire(ring, until); /* release: the claim is visible with the new tail */
    PCN_FAILPOINT("channel.claim.made");
    bool more = pcn_ring_has_records(ring);
    pcn_ring_unlock(ring);
    pcn_store_relaxed32(&claim->busy, 1);
    if (more)
        pcn_doorbell_ring(&channel->work); /* the woken one wakes the next */
    PCN_FAILPOINT("channel.claim.starting");
    pcn_store_relaxed32(&claim->started, 1);
    PCN_FAILPOINT("channel.claim.started");
    return PCN_OK;
}

/* Become the one spinner, if a core is spare and nobody (living) spins. */
static bool start_spinning(struct pcn_arena *arena, struct pcn_channel *channel)
{
    if (busy_workers(channel) + 1 >= channel->cores)
        return false; /* the parent needs one */
    uint64_t expected = 0;
    return pcn_cas_relaxed64(&channel->spinner, &expected, arena->me);
}

enum pcn_status pcn_channel_wait_work(struct pcn_arena *arena, struct pcn_channel *channel,
                                      uint64_t timeout_ns)
{
    struct pcn_ring *ring = &channel->tasks;
    /* SYNC(channel.close): see pcn_channel_claim. */
    if (pcn_ring_has_records(ring) || pcn_load_acquire32(&channel->closed))
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
    /* SYNC(channel.close): closing is announced before the bell is rung. */
    if (pcn_ring_has_records(ring) || pcn_load_acquire32(&channel->closed))
        return PCN_OK;
    return slept(pcn_doorbell_sleep(&channel->work, ticket, timeout_ns));
}

enum pcn_status pcn_channel_answer(struct pcn_arena *arena, struct pcn_channel *channel,
                                   struct pcn_message *message, const void *payload, bool wait)
{
    if (!fits(&channel->results, message->length))
        return PCN_FULL; /* before a large payload is copied for nothing */
    enum pcn_status status = place_payload(arena, message, payload, wait);
    if (status != PCN_OK)
        return status;
    if (message->block)
        pcn_block_send(arena, message->block, channel->parent);
    PCN_FAILPOINT("channel.answer.placed");
    status = push(arena, &channel->results, message, payload, wait);
    if (status != PCN_OK) {
        withdraw(arena, message);
        return status;
    }
    PCN_FAILPOINT("channel.answer.published");
    pcn_doorbell_ring(&channel->news);
    return PCN_OK;
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

void pcn_channel_done(struct pcn_channel *channel, uint32_t worker)
{
    struct pcn_claim *claim = &channel->claims[worker];
    pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    PCN_FAILPOINT("channel.done.cleared");
    pcn_store_relaxed32(&claim->busy, 0);
}

struct pcn_remains pcn_channel_bury(struct pcn_arena *arena, struct pcn_channel *channel,
                                    uint32_t worker)
{
    struct pcn_claim *claim = &channel->claims[worker];
    struct pcn_remains remains = {.token = pcn_load_relaxed64(&claim->token)};
    /* Settle a consumers' lock that the dead one may have held, so that an unmade claim
     * is void before it is read. */
    if (pcn_ring_lock(arena, &channel->tasks, true) == PCN_OWNER_DIED)
        void_unmade_claims(channel);
    uint64_t until = pcn_load_relaxed64(&claim->until);
    if (until != PCN_NO_CLAIM && until <= pcn_ring_tail(&channel->tasks)) {
        remains.claimed = true;
        remains.started = pcn_load_relaxed32(&claim->started) != 0;
        remains.task = pcn_load_relaxed64(&claim->task);
        remains.item = pcn_load_relaxed64(&claim->item);
    }
    pcn_ring_unlock(&channel->tasks);
    PCN_FAILPOINT("channel.bury.read");
    pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    pcn_store_relaxed32(&claim->busy, 0);
    PCN_FAILPOINT("channel.bury.cleared");
    uint64_t spinner = remains.token;
    if (spinner != 0)
        pcn_cas_relaxed64(&channel->spinner, &spinner, 0);
    /* Last of what needs the name: who buries again after our death must find it. */
    pcn_store_relaxed64(&claim->token, 0);
    PCN_FAILPOINT("channel.bury.freed");
    /* It may have swallowed a ring that another should have heard, or have died between
     * counting one and waking. */
    pcn_doorbell_broadcast(&channel->work);
    pcn_doorbell_broadcast(&channel->results.drained);
    pcn_doorbell_broadcast(&channel->news);
    return remains;
}
