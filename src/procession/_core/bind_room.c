/* Room in the arena, for who can wait for it. */
#include "bind_memory.h"

#include <errno.h>

#include "block.h"
#include "platform.h"
#include "recover.h"

#define STEP 50000000u          /* one sleep, in nanoseconds: signals are looked for between two */
#define SOON 200000000u         /* nothing was freed for so long: look for what the dead left */
#define PATIENCE 10000000000ull /* nothing was freed for so long: nothing is going to be */

/* What a block for so many bytes takes of the budget. */
static uint64_t needed(uint64_t length)
{
    uint32_t size_class = pcn_block_class(length);
    return length == 0 || size_class >= PCN_CLASSES ? length : pcn_class_capacity(size_class);
}

PyObject *raise_full(const struct pcn_arena *arena, uint64_t asked)
{
    const struct pcn_head *head = arena->base ? pcn_head(arena) : NULL;
    PyObject *module = PyImport_ImportModule("procession.errors.memory");
    PyObject *kind = module ? PyObject_GetAttrString(module, "ArenaFull") : NULL;
    PyObject *error = NULL;
    if (kind) {
        uint64_t warm = head ? pcn_load_relaxed64(&head->warm_free) : 0;
        uint64_t paged = head ? pcn_load_relaxed64(&head->paged) : 0;
        error = PyObject_CallFunction(
            kind, "KKKKK", (unsigned long long)asked,
            (unsigned long long)(head ? pcn_load_relaxed64(&head->budget) : 0),
            (unsigned long long)(paged > warm ? paged - warm : 0), (unsigned long long)warm,
            (unsigned long long)needed(asked));
    }
    if (error)
        PyErr_SetObject(kind, error);
    Py_XDECREF(error);
    Py_XDECREF(kind);
    Py_XDECREF(module);
    return NULL;
}

static enum pcn_status attempt(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                               pcn_block_id *id)
{
    enum pcn_status status = pcn_block_allocate_for(arena, use, length, id, false);
    if (status != PCN_BUSY)
        return status;
    Py_BEGIN_ALLOW_THREADS /* new pages take the system a while */
    status = pcn_block_allocate_for(arena, use, length, id, true);
    Py_END_ALLOW_THREADS
    return status;
}

/* Sleep until a block is freed, for a step at most. -1 with an exception: from a signal handler. */
static int sleep_a_step(struct pcn_arena *arena, uint32_t seen, uint64_t most)
{
    Py_BEGIN_ALLOW_THREADS
    pcn_block_wait_freed(arena, seen, most < STEP ? most : STEP);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

/* What the dead had, and what only circles of objects keep. */
static void look_for_leavings(struct pcn_arena *arena)
{
    Py_BEGIN_ALLOW_THREADS
    pcn_recover_all(arena);
    Py_END_ALLOW_THREADS
    PyGC_Collect();
}

int allocate_patiently(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                       uint64_t timeout, pcn_block_id *id)
{
    const struct crier nobody = {NULL, NULL};
    return allocate_crying(arena, use, length, timeout, nobody, id);
}

int allocate_crying(struct pcn_arena *arena, enum pcn_use use, uint64_t length, uint64_t timeout,
                    struct crier crier, pcn_block_id *id)
{
    uint64_t begun = 0, quiet = 0; /* since when we wait, and since when nothing was freed */
    uint32_t before = 0;
    bool looked = false; /* for what nobody else frees, since it is quiet */
    if (length <= PCN_RECORD)
        use = PCN_FOR_RECORDS;
    for (;;) {
        uint32_t seen = pcn_block_freed(arena);
        enum pcn_status status = attempt(arena, use, length, id);
        if (status == PCN_OK)
            return 0;
        if (status != PCN_NO_MEMORY || errno != EDQUOT) {
            raise_status(status);
            return -1;
        }
        uint64_t now = pcn_now_ns();
        if (begun == 0)
            begun = now;
        if (quiet == 0 || seen != before) {
            quiet = now;
            looked = false;
        }
        before = seen;
        bool is_over = now - begun >= timeout || now - quiet >= PATIENCE ||
                       length > pcn_block_most(arena, use);
        if (is_over) {
            raise_full(arena, length);
            return -1;
        }
        if (crier.cry)
            crier.cry(crier.who);
        if (now - quiet >= SOON && !looked) {
            look_for_leavings(arena);
            looked = true;
        } else if (sleep_a_step(arena, seen, timeout - (now - begun)) < 0) {
            return -1;
        }
    }
}
