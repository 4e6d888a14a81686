/* The channel's seats: sitting down, claiming, what the parent takes away, burying. */
#include "channel.h"

#include "failpoint.h"
#include "lock.h"

void pcn_channel_duty(struct pcn_channel *channel, uint32_t worker, enum pcn_duty duty)
{
    /* SYNC(channel.duty): stored before the broadcast, looked at after arming. */
    pcn_store_release32(&channel->claims[worker].duty, duty);
    PCN_FAILPOINT("channel.duty.stored");
    pcn_doorbell_broadcast(&channel->work);
    pcn_doorbell_broadcast(&channel->bench);
}

void pcn_channel_sit(struct pcn_arena *arena, struct pcn_channel *channel, uint32_t worker)
{
    struct pcn_claim *claim = &channel->claims[worker];
    uint32_t high = pcn_load_relaxed32(&channel->seats_high);
    while (high <= worker && !pcn_cas_relaxed32(&channel->seats_high, &high, worker + 1))
        continue;
    PCN_FAILPOINT("channel.sit.counted");
    pcn_claim_reset(claim);
    PCN_FAILPOINT("channel.sit.cleared");
    /* SYNC(channel.seat): counted before anybody can be seen to sit there. */
    pcn_store_release64(&claim->token, arena->me);
    PCN_FAILPOINT("channel.sit.seated");
}

/* The last consumer died under the lock, perhaps between writing its claim and retiring
 * the record: a claim that reaches beyond tail never came to be. Only the lock's holder
 * writes such claims, so each one found here is a dead one's. */
static void void_unmade_claims(struct pcn_channel *channel)
{
    uint64_t tail = pcn_ring_tail(&channel->tasks);
    uint32_t high = pcn_load_relaxed32(&channel->seats_high);
    for (uint32_t worker = 0; worker < high; worker++) {
        struct pcn_claim *claim = &channel->claims[worker];
        uint64_t until = pcn_load_relaxed64(&claim->until);
        if (until != PCN_NO_CLAIM && until > tail)
            pcn_store_relaxed64(&claim->until, PCN_NO_CLAIM);
    }
}

/* The consumers' lock of the task ring; false if it is taken, and the caller would not wait. */
static bool lock_tasks(struct pcn_arena *arena, struct pcn_channel *channel, bool wait)
{
    enum pcn_status got = pcn_ring_lock(arena, &channel->tasks, wait);
    if (got == PCN_OWNER_DIED)
        void_unmade_claims(channel);
    return got != PCN_BUSY;
}

/* The first record from *position on that was not revoked: its head; *position is moved there. */
static bool find_task(const struct pcn_arena *arena, const struct pcn_ring *ring,
                      uint64_t *position, uint64_t *length, struct pcn_message *message)
{
    while (pcn_ring_look(arena, ring, *position, length) == PCN_OK) {
        pcn_ring_copy(arena, ring, *position, 0, message, sizeof *message);
        if (message->kind != PCN_REVOKED)
            return true;
        *position = pcn_ring_next(*position, *length);
    }
    return false;
}

static void retire_to(struct pcn_ring *ring, uint64_t position)
{
    if (position != pcn_ring_tail(ring))
        pcn_ring_retire(ring, position);
}

enum pcn_status pcn_channel_claim(struct pcn_arena *arena, struct pcn_channel *channel,
                                  uint32_t worker, struct pcn_message *message, void *payload,
                                  bool wait)
{
    struct pcn_ring *ring = &channel->tasks;
    struct pcn_claim *claim = &channel->claims[worker];
    enum pcn_duty duty = pcn_claim_duty(claim);
    /* SYNC(channel.close): if it was closed before, the look below sees all tasks. */
    bool closed = pcn_load_acquire32(&channel->closed);
    if (duty != PCN_SERVE) {
        if (pcn_ring_has_records(ring)) /* we may have been woken for one of them */
            pcn_doorbell_ring(&channel->work);
        return duty == PCN_LEAVE || closed ? PCN_CLOSED : PCN_EMPTY;
    }
    if (!pcn_ring_has_records(ring))
        return closed ? PCN_CLOSED : PCN_EMPTY;
    if (!lock_tasks(arena, channel, wait))
        return PCN_BUSY;
    PCN_FAILPOINT("channel.claim.locked");
    uint64_t position = pcn_ring_tail(ring);
    uint64_t length;
    if (!find_task(arena, ring, &position, &length, message)) {
        retire_to(ring, position);
        pcn_ring_unlock(ring);
        return closed ? PCN_CLOSED : PCN_EMPTY;
    }
    if (!message->block)
        pcn_ring_copy(arena, ring, position, sizeof *message, payload, message->length);
    uint64_t until = pcn_ring_next(position, length);
    pcn_claim_sign(claim, message->task, message->first, message->end, until);
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

static bool is_among(uint64_t number, const uint64_t *numbers, uint64_t count, uint64_t *at)
{
    uint64_t low = 0, high = count;
    while (low < high) {
        *at = low + (high - low) / 2;
        if (numbers[*at] == number)
            return true;
        if (numbers[*at] < number)
            low = *at + 1;
        else
            high = *at;
    }
    return false;
}

/* Whoever claims passes over it from now on. */
static void void_task(const struct pcn_arena *arena, const struct pcn_ring *ring,
                      uint64_t position)
{
    pcn_atomic32 *kind =
        pcn_ring_word(arena, ring, position, offsetof(struct pcn_message, kind));
    pcn_store_relaxed32(kind, PCN_REVOKED);
    PCN_FAILPOINT("channel.revoke.stored");
}

/* Revoked records at the tail leave their room at once. */
static void retire_void(const struct pcn_arena *arena, struct pcn_ring *ring)
{
    struct pcn_message message;
    uint64_t length, position = pcn_ring_tail(ring);
    find_task(arena, ring, &position, &length, &message);
    retire_to(ring, position);
}

uint64_t pcn_channel_revoke(struct pcn_arena *arena, struct pcn_channel *channel,
                            const uint64_t *numbers, uint64_t count, uint8_t *found)
{
    struct pcn_ring *ring = &channel->tasks;
    struct pcn_message message;
    uint64_t length, at, revoked = 0;
    lock_tasks(arena, channel, true);
    PCN_FAILPOINT("channel.revoke.locked");
    for (uint64_t position = pcn_ring_tail(ring);
         find_task(arena, ring, &position, &length, &message);
         position = pcn_ring_next(position, length)) {
        if (!is_among(message.task, numbers, count, &at))
            continue;
        void_task(arena, ring, position);
        found[at] = 1;
        revoked++;
    }
    retire_void(arena, ring);
    pcn_ring_unlock(ring);
    return revoked;
}

enum pcn_status pcn_channel_revoke_at(struct pcn_arena *arena, struct pcn_channel *channel,
                                      uint64_t number, uint64_t position, bool wait)
{
    struct pcn_ring *ring = &channel->tasks;
    struct pcn_message message;
    if (!lock_tasks(arena, channel, wait))
        return PCN_BUSY;
    PCN_FAILPOINT("channel.revoke.locked");
    bool found = pcn_ring_holds(ring, position);
    if (found) {
        pcn_ring_copy(arena, ring, position, 0, &message, sizeof message);
        found = message.task == number && message.kind != PCN_REVOKED;
    }
    if (found) {
        void_task(arena, ring, position);
        retire_void(arena, ring);
    }
    pcn_ring_unlock(ring);
    return found ? PCN_OK : PCN_EMPTY;
}

enum pcn_status pcn_channel_area(struct pcn_arena *arena, struct pcn_channel *channel,
                                 uint32_t worker, uint8_t **area, bool wait)
{
    struct pcn_claim *claim = &channel->claims[worker];
    pcn_block_id block = pcn_load_relaxed32(&claim->area);
    if (block == 0) {
        enum pcn_status status = pcn_block_allocate(arena, PCN_INLINE_LIMIT, &block, wait);
        if (status != PCN_OK)
            return status;
        PCN_FAILPOINT("channel.area.allocated");
        /* The parent's from now on, and signed by us: anybody may sweep what is ours once we are
         * dead, and the outcomes with it; this is freed when the parent reclaims it. */
        pcn_block_send(arena, block, channel->parent);
        pcn_store_relaxed32(&claim->area, block);
        PCN_FAILPOINT("channel.area.named");
    }
    *area = pcn_block_bytes(arena, block);
    return PCN_OK;
}

bool pcn_channel_done(struct pcn_channel *channel, uint32_t worker)
{
    return pcn_claim_clear(&channel->claims[worker]);
}

struct pcn_remains pcn_channel_bury(struct pcn_arena *arena, struct pcn_channel *channel,
                                    uint32_t worker)
{
    struct pcn_claim *claim = &channel->claims[worker];
    struct pcn_remains remains = {.token = pcn_load_relaxed64(&claim->token),
                                  .area = pcn_load_relaxed32(&claim->area)};
    /* Settles a consumers' lock that the dead one may have held, so that an unmade claim
     * is void before it is read. */
    lock_tasks(arena, channel, true);
    remains.claimed = pcn_claim_remains(claim, &channel->tasks, &remains.held);
    pcn_ring_unlock(&channel->tasks);
    PCN_FAILPOINT("channel.bury.read");
    pcn_claim_reset(claim);
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
