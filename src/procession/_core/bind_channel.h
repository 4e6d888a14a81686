/* The Channel type's own header: its state, and which file brings which methods. */
#ifndef PROCESSION_BIND_CHANNEL_H
#define PROCESSION_BIND_CHANNEL_H

#include "binding.h"

#include <pthread.h>

#include "channel.h"

#define COLLECT_ROOM (8 * PCN_INLINE_LIMIT)

/* A thread of the parent inside wait(). Lives on that thread's stack; the list is guarded
 * by the GIL. The head of the list leads: it sleeps on the channel's bell and hands out
 * what it finds. The others sleep on their own word. A signal handler that waits leads
 * instead of the wait it came over, which can not go on before it. */
struct waiter {
    struct waiter *next;
    PyObject *entry;   /* what it waits for; borrowed from the call's arguments */
    pcn_atomic32 word; /* what it was told; 0: nothing, sleep on */
    pthread_t thread;
};

typedef struct {
    PyObject_HEAD
    struct pcn_channel *channel;
    pcn_block_id block;     /* that the channel lies in; 0 once released */
    uint32_t inside;        /* threads that use the channel's memory without the GIL */
    bool released;          /* nobody may come in any more; the last one out frees */
    int supervisor;         /* eventfd to write to when a result finds no room */
    uint64_t made_in;       /* family_generation() at channel_new(); UINT64_MAX: attached */
    uint32_t worker;        /* our seat, if we are a worker */
    bool seated;            /* we, or the process that this one is a fork of, in the */
    uint64_t generation;    /* family_generation() that this was in */
    struct waiter *waiters;
    uint32_t wakes;         /* counts the calls of wake(), for threads that are about to wait */
    PyObject *published;    /* dict: the ids of published blocks that are not freed yet */
    PyObject *append_name;
    PyObject *map, *starmap; /* the builtin, and itertools'; run() makes them when it is asked */
    bool in_task;           /* user's code runs: the parent may ask it to stop */
    uint8_t *scratch;       /* PCN_INLINE_LIMIT for a claim, COLLECT_ROOM for a collection */
    pcn_atomic32 collecting; /* 1: a thread that has let the GIL go is in the middle of that */
    int collects_garbage;    /* 1: garbage was collected before it began */
} Channel;

/* Raises ValueError once the channel was released. */
int channel_is_open(const Channel *self);

/* Around every use of the channel without the GIL; both with the GIL held. */
void channel_enter(Channel *self);
void channel_leave(Channel *self);

int unsigned_argument(PyObject *argument, unsigned long long *value);

/* A seat number of this channel, or -1 with an exception. */
int seat_argument(const Channel *self, PyObject *argument, uint32_t *seat);

#define METHOD(name, flags, doc) {#name, (PyCFunction)(void (*)(void))channel_##name, flags, doc}

/* Whether this process made it. A forked copy may not look into the memory to know: that may be
 * another channel's by now. */
static inline bool channel_is_ours(const Channel *self)
{
    return self->made_in == family_generation();
}

/* Raises ValueError in a forked copy of the parent, or in a worker. */
int channel_is_parent(const Channel *self);

/* bind_submit.c: submit. */
PyObject *channel_submit(Channel *self, PyObject *const *args, Py_ssize_t count);

/* bind_parent.c: collect, wait, wake, close. */
PyObject *channel_collect(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_wait(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_wake(Channel *self, PyObject *entry);
PyObject *channel_wakes(Channel *self, PyObject *ignored);
PyObject *channel_close(Channel *self, PyObject *ignored);
void wake_all_waiters(Channel *self);

/* bind_seats.c: what the parent sees and does of its workers' claims. */
PyObject *channel_seat(Channel *self, PyObject *worker);
PyObject *channel_seats(Channel *self, PyObject *ignored);
PyObject *channel_now_ns(Channel *self, PyObject *ignored);
PyObject *channel_take_back(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_doom(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_pardon(Channel *self, PyObject *worker);
PyObject *channel_stop(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_duty(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_revoke(Channel *self, PyObject *numbers);
PyObject *channel_revoke_at(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_bury(Channel *self, PyObject *worker);

/* bind_worker.c: sit, claim, answer, forked. */
PyObject *channel_sit(Channel *self, PyObject *worker);
PyObject *channel_claim(Channel *self, PyObject *ignored);
PyObject *channel_alert(Channel *self, PyObject *ignored);
PyObject *channel_forked(Channel *self, PyObject *ignored);
PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count);

/* A fork of the worker, which a task has made. The claim is not its own, nor is the seat: it must
 * touch neither. */
static inline bool is_fork_of_worker(const Channel *self)
{
    return self->seated && self->generation != family_generation();
}

/* 0; or -1 with SystemExit in such a fork, which has come to the end of what it was made for. */
int end_if_forked(const Channel *self);

/* Wait for a task, and claim it: 1; 0: no more will come; -1. Its payload is in the scratch, unless
 * it has a block. */
int claim_next(Channel *self, struct pcn_arena *arena, struct pcn_message *message);

/* As claim() tells it. */
PyObject *claimed(struct pcn_arena *arena, const Channel *self, const struct pcn_message *message);

/* Answer the claimed task; the payload is bytes, and travels in the record or a block. */
int answer_task(const Channel *self, struct pcn_arena *arena, uint64_t task, uint32_t kind,
                PyObject *payload);

/* bind_serve.c: serve. */
PyObject *channel_serve(Channel *self, PyObject *const *args, Py_ssize_t count);

/* Publish a result about our seat's claim, or news (task 0): with the time since its claim, and
 * waiting for room. 0, or -1 with an exception and nothing published. */
int send_result(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                const struct pcn_part *parts, uint32_t count);

/* The same for a body with buffers apart. */
struct apart;
int send_apart(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
               const struct apart *apart);

/* Our seat's claim is answered. Does not return while the parent is about to kill us for it. */
void end_claim(const Channel *self);

/* bind_run.c: run, guarded, stop_asked. */
PyObject *channel_run(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_guarded(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_stop_asked(Channel *self, PyObject *ignored);

/* bind_outcomes.c: one outcome is a tag and its content. A simple one takes at most so many
 * bytes; others (pickles and errors) have a head, and the content behind it. */
#define SIMPLE_OUTCOME 256u
#define OUTCOME_HEAD 9u
#define PICKLED_TAG 'P'
#define ERROR_TAG 'E'

/* Write the outcome to `to`: how many bytes; 0: the value is not so simple. */
uint32_t simple_outcome(PyObject *value, uint8_t *to);
void outcome_head(char tag, uint64_t length, uint8_t *to);

#endif
