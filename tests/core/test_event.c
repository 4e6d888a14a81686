/* Events between processes: set, cleared, waited for. */
#define _GNU_SOURCE
#include "family.h"

#include "event.h"
#include "platform.h"

#define ROUNDS 3000
#define WAITERS 4

struct scene {
    struct pcn_event event;
    struct pcn_event back;
    struct gate ready;
    uint64_t written; /* plain on purpose: the event orders it */
    pcn_atomic32 came;
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->ready = gate_make();
    return scene;
}

/* Wait as callers do; a wait that takes this long is a lost wake-up. */
static void wait_for(struct pcn_event *event, uint32_t ticket)
{
    uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
    if (pcn_event_came(event, ticket) || pcn_event_spin(event, ticket))
        return;
    while (pcn_event_sleep(event, ticket, FAMILY_PATIENCE_NS) != PCN_OK)
        CHECK(pcn_now_ns() < until);
}

static bool has_sleepers(const struct pcn_event *event)
{
    return pcn_load_relaxed32(&event->word) & PCN_EVENT_SLEEPERS;
}

static void wait_once(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    uint32_t ticket = pcn_event_ticket(&scene->event);
    gate_open(&scene->ready, 1);
    wait_for(&scene->event, ticket);
    CHECK_EQ(scene->written, 42);
    pcn_add_relaxed32(&scene->came, 1);
}

static void it_is_set_until_it_is_cleared(void)
{
    struct pcn_event event = {0};
    CHECK(!pcn_event_is_set(&event));
    for (int round = 0; round < 3; round++) {
        pcn_event_set(&event);
        pcn_event_set(&event);
        CHECK(pcn_event_is_set(&event));
        pcn_event_clear(&event);
        pcn_event_clear(&event);
        CHECK(!pcn_event_is_set(&event));
    }
}

static void a_wait_for_what_is_set_returns_at_once(void)
{
    struct pcn_event event = {0};
    pcn_event_set(&event);
    CHECK_EQ(pcn_event_sleep(&event, pcn_event_ticket(&event), 0), PCN_OK);
}

static void a_wait_ends_at_its_timeout(void)
{
    struct pcn_event event = {0};
    CHECK_EQ(pcn_event_sleep(&event, pcn_event_ticket(&event), 1000), PCN_TIMEOUT);
    CHECK_EQ(pcn_event_sleep(&event, pcn_event_ticket(&event), 0), PCN_TIMEOUT);
}

static void a_set_that_was_cleared_at_once_still_came(void)
{
    struct pcn_event event = {0};
    uint32_t before = pcn_event_ticket(&event);
    pcn_event_set(&event);
    pcn_event_clear(&event);
    CHECK(pcn_event_came(&event, before));
    CHECK(!pcn_event_came(&event, pcn_event_ticket(&event)));
    CHECK_EQ(pcn_event_sleep(&event, before, 0), PCN_OK);
}

static void all_waiters_are_woken_though_it_is_cleared_at_once(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    pid_t waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = family_fork(&arena, wait_once, scene);
    for (int i = 0; i < WAITERS; i++)
        gate_wait(&scene->ready);
    while (!has_sleepers(&scene->event))
        pcn_yield();
    scene->written = 42;
    pcn_event_set(&scene->event);
    pcn_event_clear(&scene->event);
    for (int i = 0; i < WAITERS; i++)
        CHECK(family_wait(waiters[i]));
    CHECK_EQ(pcn_load_relaxed32(&scene->came), WAITERS);
}

static void a_dead_waiter_keeps_nobody_waiting(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    pid_t doomed = family_fork(&arena, wait_once, scene);
    pid_t waiter = family_fork(&arena, wait_once, scene);
    gate_wait(&scene->ready);
    gate_wait(&scene->ready);
    while (!has_sleepers(&scene->event))
        pcn_yield();
    family_kill(doomed);
    scene->written = 42;
    pcn_event_set(&scene->event);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->came), 1);
}

static void do_nothing(int number)
{
    (void)number;
}

static void wait_for_a_signal(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    struct sigaction action = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &action, NULL);
    uint32_t ticket = pcn_event_ticket(&scene->event);
    enum pcn_status status;
    do {
        status = pcn_event_sleep(&scene->event, ticket, FAMILY_PATIENCE_NS);
    } while (status == PCN_TIMEOUT);
    CHECK_EQ(status, PCN_SIGNAL);
    pcn_add_relaxed32(&scene->came, 1);
}

static void a_signal_ends_the_sleep(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    pid_t waiter = family_fork(&arena, wait_for_a_signal, scene);
    while (!has_sleepers(&scene->event))
        pcn_yield();
    while (pcn_load_relaxed32(&scene->came) == 0) {
        kill(waiter, SIGUSR1); /* it may come between two sleeps */
        pcn_yield();
    }
    CHECK(family_wait(waiter));
}

static void answer(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        wait_for(&scene->event, pcn_event_ticket(&scene->event));
        pcn_event_clear(&scene->event);
        CHECK_EQ(scene->written, round);
        pcn_event_set(&scene->back);
    }
}

static void no_round_of_a_ping_pong_is_lost(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    pid_t other = family_fork(&arena, answer, scene);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        scene->written = round;
        pcn_event_set(&scene->event);
        wait_for(&scene->back, pcn_event_ticket(&scene->back));
        pcn_event_clear(&scene->back);
    }
    CHECK(family_wait(other));
}

static const struct check_case cases[] = {
    CHECK_CASE(it_is_set_until_it_is_cleared),
    CHECK_CASE(a_wait_for_what_is_set_returns_at_once),
    CHECK_CASE(a_wait_ends_at_its_timeout),
    CHECK_CASE(a_set_that_was_cleared_at_once_still_came),
    CHECK_CASE(all_waiters_are_woken_though_it_is_cleared_at_once),
    CHECK_CASE(a_dead_waiter_keeps_nobody_waiting),
    CHECK_CASE(a_signal_ends_the_sleep),
    CHECK_CASE(no_round_of_a_ping_pong_is_lost),
};
CHECK_MAIN(cases)
