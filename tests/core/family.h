/* A family of processes for a test: an arena, children that joined it, gates, and plain
 * shared memory for what they report. */
#ifndef PCN_TEST_FAMILY_H
#define PCN_TEST_FAMILY_H

#include <sys/mman.h>

#include "arena.h"
#include "check.h"
#include "failpoint.h"
#include "owner.h"
#include "recover.h"
#include "validate.h"

#define FAMILY_RESERVE (256ull << 20)
#define FAMILY_PATIENCE_NS 10000000000ull /* a sleep this long is a lost wake-up */

static inline void family_make(struct pcn_arena *arena)
{
    CHECK_EQ(pcn_arena_create(arena, FAMILY_RESERVE), PCN_OK);
    CHECK_EQ(pcn_owner_join(arena, 0), PCN_OK);
}

typedef void family_entry(struct pcn_arena *arena, void *context);

/* Fork a child that has not joined yet. It dies with this process. */
static inline pid_t family_fork_raw(struct pcn_arena *arena, family_entry *entry, void *context)
{
    fflush(stdout);
    pid_t mother = getpid();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != mother)
            _exit(1);
        entry(arena, context);
        _exit(0);
    }
    return child;
}

struct family_child {
    family_entry *entry;
    void *context;
    pcn_token parent;
};

static inline void family_joined(struct pcn_arena *arena, void *context)
{
    struct family_child *child = context;
    CHECK_EQ(pcn_owner_join(arena, child->parent), PCN_OK);
    child->entry(arena, child->context);
}

/* Fork a child that joins and runs entry(). */
static inline pid_t family_fork(struct pcn_arena *arena, family_entry *entry, void *context)
{
    struct family_child child = {entry, context, arena->me};
    return family_fork_raw(arena, family_joined, &child);
}

/* Wait for its end. True: it ran through; false: it was SIGKILLed. Else a failure. */
static inline bool family_wait(pid_t child)
{
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return false;
    CHECK_EQ(status, 0);
    return true;
}

static inline void family_kill(pid_t child)
{
    kill(child, SIGKILL);
    CHECK(!family_wait(child));
}

/* Zeroed memory shared with all later children. */
static inline void *family_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* A gate: waiters pass once it was opened for as many. Events, never times. */
struct gate {
    int ends[2];
};

static inline struct gate gate_make(void)
{
    struct gate gate;
    CHECK_EQ(pipe(gate.ends), 0);
    return gate;
}

static inline void gate_open(const struct gate *gate, int times)
{
    while (times-- > 0)
        CHECK_EQ(write(gate->ends[1], "g", 1), 1);
}

static inline void gate_wait(const struct gate *gate)
{
    char byte;
    CHECK_EQ(read(gate->ends[0], &byte, 1), 1);
}

/* For children that only have to be there. */
static inline void family_stay(struct pcn_arena *arena, void *context)
{
    (void)arena;
    gate_open(context, 1);
    for (;;)
        pause();
}

/* Fork a child that has joined when this returns, and lives until it is killed. */
static inline pid_t family_fork_staying(struct pcn_arena *arena, pcn_token *token)
{
    struct gate joined = gate_make();
    pid_t child = family_fork(arena, family_stay, &joined);
    gate_wait(&joined);
    close(joined.ends[0]);
    close(joined.ends[1]);
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
    *token = 0;
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_slot *slot = pcn_slot_at(arena, index);
        if (pcn_load_relaxed32(&slot->state) == PCN_SLOT_TAKEN &&
            pcn_load_relaxed32(&slot->pid) == (uint32_t)child)
            *token = pcn_token_make(pcn_load_relaxed64(&slot->generation), index);
    }
    CHECK(*token != 0);
    return child;
}

#endif
