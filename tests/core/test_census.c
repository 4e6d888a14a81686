/* The census: it tells what stands in the tables, changes nothing, and outlives all changes. */
#define _GNU_SOURCE
#include <errno.h>

#include "barrier.h"
#include "census.h"
#include "event.h"
#include "family.h"
#include "mutex.h"
#include "object.h"
#include "platform.h"
#include "queue.h"
#include "semaphore.h"
#include "spot.h"

#define THREAD 4711u

/* The arena as somebody outside of the family sees it. */
static struct pcn_arena watch(const struct pcn_arena *arena)
{
    struct pcn_arena watcher;
    CHECK_EQ(pcn_arena_watch(&watcher, dup(arena->fd)), PCN_OK);
    return watcher;
}

static struct pcn_name make(struct pcn_arena *arena, enum pcn_kind kind, uint32_t *hold)
{
    struct pcn_name name;
    CHECK_EQ(pcn_object_create(arena, kind, &name, hold), PCN_OK);
    return name;
}

static void call(struct pcn_arena *arena, const char *name)
{
    struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(arena->me));
    snprintf(slot->name, sizeof slot->name, "%s", name);
}

/* Own the mutex, as its binding does. */
static void own(struct pcn_arena *arena, struct pcn_name name, uint32_t index)
{
    struct pcn_hold *hold = pcn_hold_at(arena, index);
    snprintf(hold->place, sizeof hold->place, "worker (jobs.py:12)");
    pcn_store_relaxed64(&hold->taking_from, THREAD);
    pcn_store_relaxed32(&hold->held, 1);
    CHECK(pcn_mutex_take(arena, pcn_mutex_at(arena, name)));
}

static bool find_hold(const struct pcn_arena *watcher, struct pcn_name name, pcn_token owner,
                      struct pcn_hold_record *record)
{
    for (uint32_t index = 0; index < pcn_census_sizes(watcher).holds; index++) {
        if (pcn_census_hold(watcher, index, record) && record->name.serial == name.serial &&
            record->owner == owner)
            return true;
    }
    return false;
}

static bool find_spot(const struct pcn_arena *watcher, struct pcn_name name,
                      struct pcn_spot_record *record)
{
    for (uint32_t index = 0; index < pcn_census_sizes(watcher).spots; index++) {
        if (pcn_census_spot(watcher, index, record) && record->name.serial == name.serial)
            return true;
    }
    return false;
}

static bool find_process(const struct pcn_arena *watcher, pcn_token token,
                         struct pcn_process_record *record)
{
    return pcn_token_slot(token) < pcn_census_sizes(watcher).processes &&
           pcn_census_process(watcher, pcn_token_slot(token), record) && record->token == token;
}

static void a_new_arena_has_nothing(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, FAMILY_RESERVE), PCN_OK);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_census sizes = pcn_census_sizes(&watcher);
    CHECK_EQ(sizes.processes + sizes.objects + sizes.holds + sizes.spots, 0);
    pcn_arena_detach(&watcher);
}

static void the_mapping_can_not_be_written_to(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pcn_arena watcher = watch(&arena);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(read(ends[0], watcher.base, 1), -1);
    CHECK_EQ(errno, EFAULT);
    CHECK(watcher.reserve < arena.reserve); /* without the blocks' bytes */
}

static void what_is_no_arena_is_refused(void)
{
    struct pcn_arena arena, watcher;
    family_make(&arena);
    CHECK_EQ(pcn_arena_watch(&watcher, -1), PCN_REFUSED);
    CHECK_EQ(pcn_arena_watch(&watcher, pcn_memory_file("hole", FAMILY_RESERVE)), PCN_REFUSED);
    pcn_head(&arena)->stamp ^= 1;
    CHECK_EQ(pcn_arena_watch(&watcher, arena.fd), PCN_REFUSED);
    CHECK(watcher.base == NULL && watcher.fd == -1);
}

static void processes_are_told_apart_from_the_dead(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    call(&arena, "MainProcess");
    pcn_token token;
    pid_t child = family_fork_staying(&arena, &token);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_process_record record;
    CHECK(find_process(&watcher, arena.me, &record));
    CHECK(record.alive && !record.leaving);
    CHECK_EQ(record.pid, getpid());
    CHECK_EQ(record.parent, 0);
    CHECK(strcmp(record.name, "MainProcess") == 0);
    CHECK(find_process(&watcher, token, &record));
    CHECK(record.alive);
    CHECK_EQ(record.pid, child);
    CHECK_EQ(record.parent, arena.me);
    family_kill(child);
    CHECK(find_process(&watcher, token, &record));
    CHECK(!record.alive);
    CHECK(!pcn_census_alive(&watcher, token));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK(!find_process(&watcher, token, &record));
    CHECK(!pcn_census_alive(&watcher, token));
}

static void nobody_lives_under_a_token_that_was_never_given(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pcn_arena watcher = watch(&arena);
    CHECK(pcn_census_alive(&watcher, arena.me));
    CHECK(!pcn_census_alive(&watcher, 0));
    CHECK(!pcn_census_alive(&watcher, arena.me + ((pcn_token)1 << 16)));
    CHECK(!pcn_census_alive(&watcher, pcn_token_make(1, PCN_MAX_SLOTS - 1)));
    CHECK(!pcn_census_alive(&watcher, pcn_token_make(1, PCN_OBJECT_SLOT)));
}

static void memory_tells_what_it_is_for(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold;
    struct pcn_name name = make(&arena, PCN_MEMORY, &hold);
    pcn_object_at(&arena, name.object)->size = 5;
    struct pcn_arena watcher = watch(&arena);
    struct pcn_object_record record;
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK(record.value == 5 && record.initial == PCN_MEMORY_VALUES && record.flags == 0);
    pcn_object_at(&arena, name.object)->purpose = PCN_MEMORY_SENT;
    pcn_store_relaxed32(&pcn_object_at(&arena, name.object)->frozen, 1);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.initial, PCN_MEMORY_SENT);
    CHECK_EQ(record.flags, PCN_CENSUS_FROZEN);
}

static void a_mutex_names_its_owner_and_who_waits(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    call(&arena, "MainProcess");
    uint32_t hold;
    struct pcn_name name = make(&arena, PCN_MUTEX, &hold);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_object_record object;
    CHECK(pcn_census_object(&watcher, name.object, &object));
    CHECK_EQ(object.kind, PCN_MUTEX);
    CHECK_EQ(object.name.serial, name.serial);
    CHECK_EQ(object.owner, 0);
    CHECK_EQ(object.flags, 0);
    pcn_object_at(&arena, name.object)->size = 1;
    own(&arena, name, hold);
    CHECK(pcn_census_object(&watcher, name.object, &object));
    CHECK_EQ(object.owner, arena.me);
    CHECK_EQ(object.flags, PCN_CENSUS_RECURSIVE);

    struct pcn_hold_record held;
    CHECK(find_hold(&watcher, name, arena.me, &held));
    CHECK_EQ(held.kind, PCN_HOLD);
    CHECK_EQ(held.held, 1);
    CHECK_EQ(held.thread, THREAD);
    CHECK_EQ(held.pid, getpid());
    CHECK(held.alive);
    CHECK(strcmp(held.whose, "MainProcess") == 0);
    CHECK(strcmp(held.place, "worker (jobs.py:12)") == 0);

    struct pcn_spot_record waits;
    CHECK(!find_spot(&watcher, name, &waits));
    struct pcn_spot *spot = pcn_spot_mine(&arena, THREAD);
    uint64_t before = pcn_now_ns();
    pcn_spot_stand(&arena, spot, name, 7 | PCN_SPOT_TIMED, "main (jobs.py:20)");
    CHECK(find_spot(&watcher, name, &waits));
    CHECK_EQ(waits.owner, arena.me);
    CHECK_EQ(waits.thread, THREAD);
    CHECK_EQ(waits.pid, getpid());
    CHECK_EQ(waits.op, 7);
    CHECK(waits.timed);
    CHECK_EQ(waits.state, PCN_SPOT_WAITING);
    CHECK(waits.since >= before && waits.since <= pcn_now_ns());
    CHECK(waits.alive);
    CHECK(strcmp(waits.place, "main (jobs.py:20)") == 0);
    CHECK(strcmp(waits.whose, "MainProcess") == 0);
    pcn_spot_leave(spot);
    CHECK(!find_spot(&watcher, name, &waits));
}

static void the_other_kinds_say_how_they_stand(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_object_record record;
    uint32_t hold;

    struct pcn_name name = make(&arena, PCN_SEMAPHORE, &hold);
    struct pcn_semaphore *semaphore = pcn_semaphore_at(&arena, name);
    pcn_semaphore_init(semaphore, 3, 5);
    CHECK(pcn_semaphore_try(semaphore, pcn_hold_at(&arena, hold)));
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.value, 2);
    CHECK_EQ(record.initial, 3);
    CHECK_EQ(record.most, 5);
    CHECK_EQ(record.flags, 0);
    struct pcn_hold_record held;
    CHECK(find_hold(&watcher, name, arena.me, &held));
    CHECK_EQ(held.held, 1);
    pcn_store_relaxed32(&semaphore->signals, 1);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.flags, PCN_CENSUS_SIGNALS);

    name = make(&arena, PCN_EVENT, &hold);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.value, 0);
    pcn_event_set(pcn_object_body(&arena, name.object));
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.value, 1);

    name = make(&arena, PCN_BARRIER, &hold);
    pcn_barrier_init(&arena, pcn_barrier_at(&arena, name), 3);
    struct pcn_barrier_wait wait = {.name = name, .hold = pcn_hold_at(&arena, hold)};
    CHECK_EQ(pcn_barrier_arrive(&arena, &wait, false), PCN_EMPTY);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.value, 1);
    CHECK_EQ(record.most, 3);
    CHECK_EQ(record.flags, 0);
    pcn_barrier_abort(&arena, name);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.flags, PCN_CENSUS_BROKEN);

    name = make(&arena, PCN_QUEUE, &hold);
    struct pcn_queue *queue = pcn_queue_at(&arena, name);
    pcn_queue_init(queue, 9, false);
    pcn_store_relaxed64(&queue->tail, pcn_end_advance(0, 2, 64));
    pcn_store_relaxed64(&queue->head, pcn_end_advance(0, 6, 256));
    pcn_store_relaxed32(&queue->closed, 1);
    CHECK(pcn_census_object(&watcher, name.object, &record));
    CHECK_EQ(record.value, 4);
    CHECK_EQ(record.most, 9);
    CHECK_EQ(record.flags, PCN_CENSUS_CLOSED);
}

struct owned {
    struct gate there;
    struct pcn_name name;
};

static void own_and_stay(struct pcn_arena *arena, void *context)
{
    struct owned *owned = context;
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, owned->name, &hold), PCN_OK);
    call(arena, "Process-1");
    own(arena, owned->name, hold);
    pcn_spot_stand(arena, pcn_spot_mine(arena, THREAD), owned->name, 0, "");
    family_stay(arena, &owned->there);
}

static void what_the_dead_leave_is_marked(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t mine;
    struct owned owned = {gate_make(), make(&arena, PCN_MUTEX, &mine)};
    pid_t child = family_fork(&arena, own_and_stay, &owned);
    gate_wait(&owned.there);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_object_record object;
    struct pcn_hold_record held;
    struct pcn_spot_record waits;
    CHECK(pcn_census_object(&watcher, owned.name.object, &object));
    pcn_token owner = object.owner;
    CHECK(find_hold(&watcher, owned.name, owner, &held) && held.alive);
    CHECK(find_spot(&watcher, owned.name, &waits) && waits.alive);
    family_kill(child);
    CHECK(find_hold(&watcher, owned.name, owner, &held) && !held.alive);
    CHECK(strcmp(held.whose, "Process-1") == 0);
    CHECK(find_spot(&watcher, owned.name, &waits) && !waits.alive);

    CHECK_EQ(pcn_recover_all(&arena), 1);
    pcn_token other;
    pid_t next = family_fork_staying(&arena, &other); /* in the dead one's slot */
    CHECK_EQ(pcn_token_slot(other), pcn_token_slot(owner));
    CHECK(find_hold(&watcher, owned.name, owner, &held));
    CHECK_EQ(held.kind, PCN_REMAINS);
    CHECK_EQ(held.pid, child);
    CHECK(!held.alive);
    CHECK(strcmp(held.whose, "Process-1") == 0);
    CHECK(strcmp(held.place, "worker (jobs.py:12)") == 0);
    CHECK(!find_spot(&watcher, owned.name, &waits));
    family_kill(next);
}

static void a_name_is_not_another_ones(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold;
    struct pcn_name name = make(&arena, PCN_MUTEX, &hold);
    call(&arena, "MainProcess");
    struct pcn_arena watcher = watch(&arena);
    pcn_token another = arena.me + ((pcn_token)1 << 16);
    pcn_store_relaxed64(&pcn_hold_at(&arena, hold)->owner, another);
    struct pcn_hold_record held;
    CHECK(find_hold(&watcher, name, another, &held));
    CHECK(strcmp(held.whose, "") == 0);
    CHECK(!held.alive);
}

static void texts_end_however_they_are_torn(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold;
    struct pcn_name name = make(&arena, PCN_MUTEX, &hold);
    memset(pcn_hold_at(&arena, hold)->place, 'x', PCN_PLACE_ROOM);
    memset(pcn_slot_at(&arena, pcn_token_slot(arena.me))->name, 'y', PCN_NAME_ROOM);
    struct pcn_arena watcher = watch(&arena);
    struct pcn_hold_record held;
    CHECK(find_hold(&watcher, name, arena.me, &held));
    CHECK_EQ(strlen(held.place), PCN_PLACE_ROOM - 1);
    CHECK_EQ(strlen(held.whose), PCN_NAME_ROOM - 1);
}

static void damaged_counts_lead_nowhere(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pcn_arena watcher = watch(&arena);
    pcn_store_relaxed32(&pcn_head(&arena)->slots_high, UINT32_MAX);
    pcn_store_relaxed32(&pcn_head(&arena)->objects_high, UINT32_MAX);
    pcn_store_relaxed32(&pcn_head(&arena)->holds_high, UINT32_MAX);
    pcn_store_relaxed32(&pcn_head(&arena)->spots_high, UINT32_MAX);
    struct pcn_census sizes = pcn_census_sizes(&watcher);
    CHECK_EQ(sizes.processes, PCN_MAX_SLOTS);
    CHECK_EQ(sizes.objects, PCN_MAX_OBJECTS);
    CHECK_EQ(sizes.holds, PCN_MAX_HOLDS);
    CHECK_EQ(sizes.spots, PCN_MAX_SPOTS);
}

/* ---- while the tables change ---- */

#define ROUNDS 3000

static void make_and_end(struct pcn_arena *arena, void *context)
{
    (void)context;
    struct pcn_spot *spot = pcn_spot_mine(arena, THREAD);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t hold;
        struct pcn_name name = make(arena, round % 2 ? PCN_MUTEX : PCN_EVENT, &hold);
        pcn_spot_stand(arena, spot, name, 0, "here");
        pcn_spot_leave(spot);
        pcn_object_release(arena, hold);
    }
}

static void blocks_are_shown_with_their_owners(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pcn_arena watcher = watch(&arena);
    uint32_t hold;
    struct pcn_name thing = make(&arena, PCN_MEMORY, &hold);
    pcn_block_id ids[4];
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(pcn_block_allocate(&arena, 20000 * (i + 1), &ids[i], true), PCN_OK);
    pcn_token receiver;
    pid_t child = family_fork_staying(&arena, &receiver);
    pcn_block_give(&arena, ids[1], pcn_object_token(thing), thing.object);
    pcn_block_send(&arena, ids[2], receiver);
    CHECK_EQ(pcn_block_free(&arena, ids[3], false, true), PCN_OK);
    CHECK_EQ(pcn_census_sizes(&watcher).blocks, 4);
    const pcn_token owners[] = {arena.me, pcn_object_token(thing), receiver, 0};
    const uint32_t states[] = {PCN_BLOCK_OWNED, PCN_BLOCK_TRANSIT, PCN_BLOCK_TRANSIT,
                               PCN_BLOCK_FREE};
    uint64_t sum = 0, end = PCN_DATA_AT;
    for (uint32_t i = 0; i < 4; i++) {
        struct pcn_block_record record;
        CHECK(pcn_census_block(&watcher, i, &record));
        CHECK_EQ(record.owner, owners[i]);
        CHECK_EQ(record.state, states[i]);
        CHECK_EQ(record.length, i < 3 ? 20000 * (i + 1) : 0);
        CHECK_EQ(record.offset, end);
        CHECK(record.warm);
        CHECK(i != 1 || record.object == thing.object);
        sum += record.capacity;
        end += record.capacity;
    }
    struct pcn_room room = pcn_census_room(&watcher);
    CHECK_EQ(room.budget, pcn_block_budget(&arena));
    CHECK_EQ(room.paged, sum);
    CHECK_EQ(room.warm_free, pcn_class_capacity(pcn_block_class(80000)));
    struct pcn_object_record object;
    CHECK(pcn_census_object(&watcher, thing.object, &object));
    CHECK_EQ(object.flags, 0);
    pcn_store_relaxed32(&pcn_object_at(&arena, thing.object)->frozen, 1);
    CHECK(pcn_census_object(&watcher, thing.object, &object));
    CHECK_EQ(object.flags, PCN_CENSUS_FROZEN);
    family_kill(child);
}

static void what_is_joined_is_shown_once(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 0), PCN_OK); /* 64 MiB for blocks */
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    struct pcn_arena watcher = watch(&arena);
    pcn_block_id ids[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pcn_block_allocate(&arena, 32u << 20, &ids[i], true), PCN_OK);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pcn_block_free(&arena, ids[i], true, true), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, 50u << 20, &ids[0], true), PCN_OK);
    struct pcn_block_record record;
    CHECK_EQ(pcn_census_sizes(&watcher).blocks, 2);
    CHECK(pcn_census_block(&watcher, 0, &record));
    CHECK_EQ(record.capacity, 64u << 20);
    CHECK_EQ(record.length, 50u << 20);
    CHECK(!pcn_census_block(&watcher, 1, &record));
}

static void a_table_that_changes_is_read_record_by_record(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pid_t child = family_fork(&arena, make_and_end, NULL);
    struct pcn_arena watcher = watch(&arena);
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pcn_census sizes = pcn_census_sizes(&watcher);
        CHECK(sizes.processes <= 2 && sizes.objects <= 8 && sizes.spots <= PCN_SPOTS_A_PAGE);
        for (uint32_t index = 0; index < sizes.objects; index++) {
            struct pcn_object_record record;
            if (pcn_census_object(&watcher, index, &record))
                CHECK(record.name.serial != 0 && record.name.serial <= ROUNDS + 1);
        }
        for (uint32_t index = 0; index < sizes.holds; index++) {
            struct pcn_hold_record record;
            if (pcn_census_hold(&watcher, index, &record))
                CHECK(record.owner != 0 && record.name.serial <= ROUNDS + 1);
        }
        for (uint32_t index = 0; index < sizes.spots; index++) {
            struct pcn_spot_record record;
            if (pcn_census_spot(&watcher, index, &record))
                CHECK(record.thread == THREAD && record.since != 0);
        }
    }
    CHECK_EQ(status, 0);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_new_arena_has_nothing),
    CHECK_CASE(the_mapping_can_not_be_written_to),
    CHECK_CASE(what_is_no_arena_is_refused),
    CHECK_CASE(processes_are_told_apart_from_the_dead),
    CHECK_CASE(nobody_lives_under_a_token_that_was_never_given),
    CHECK_CASE(memory_tells_what_it_is_for),
    CHECK_CASE(a_mutex_names_its_owner_and_who_waits),
    CHECK_CASE(the_other_kinds_say_how_they_stand),
    CHECK_CASE(what_the_dead_leave_is_marked),
    CHECK_CASE(a_name_is_not_another_ones),
    CHECK_CASE(texts_end_however_they_are_torn),
    CHECK_CASE(damaged_counts_lead_nowhere),
    CHECK_CASE(blocks_are_shown_with_their_owners),
    CHECK_CASE(what_is_joined_is_shown_once),
    CHECK_CASE(a_table_that_changes_is_read_record_by_record),
};
CHECK_MAIN(cases)
