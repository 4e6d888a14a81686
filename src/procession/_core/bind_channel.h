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
    uint32_t worker;        /* our seat, if we are a worker */
    struct waiter *waiters;
    uint32_t wakes;         /* counts the calls of wake(), for threads that are about to wait */
    PyObject *published;    /* dict: the ids of published blocks that are not freed yet */
    PyObject *answer_name, *attend_name, *block_name, *append_name;
    uint8_t *scratch;       /* PCN_INLINE_LIMIT for a claim, COLLECT_ROOM for a collection */
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

/* bind_parent.c: submit, collect, wait, wake, close, bury. */
PyObject *channel_submit(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_collect(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_wait(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_wake(Channel *self, PyObject *entry);
PyObject *channel_wakes(Channel *self, PyObject *ignored);
PyObject *channel_close(Channel *self, PyObject *ignored);
PyObject *channel_bury(Channel *self, PyObject *worker);
void wake_all_waiters(Channel *self);

/* bind_worker.c: sit, claim, answer, run. */
PyObject *channel_sit(Channel *self, PyObject *worker);
PyObject *channel_claim(Channel *self, PyObject *ignored);
PyObject *channel_alert(Channel *self, PyObject *ignored);
PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count);
PyObject *channel_run(Channel *self, PyObject *const *args, Py_ssize_t count);

#endif
