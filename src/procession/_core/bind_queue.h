/* The Queue type's own header: its state, and items as Python objects. */
#ifndef PROCESSION_BIND_QUEUE_H
#define PROCESSION_BIND_QUEUE_H

#include "binding.h" /* first: it has Python.h */

#include "bind_apart.h"
#include "bind_object.h"
#include "queue.h"

/* An object on its way in: its bytes, and who keeps them meanwhile. */
struct packed {
    struct pcn_item item;
    PyObject *keeper; /* or NULL: they stand in `word`, or in a block */
    Py_buffer view;   /* of the keeper, if it is no bytes or str */
    PyObject *pins;   /* handles in it were pickled since; NULL: none can be in it */
    struct apart *apart; /* what is to go into a block; NULL: it has no buffers apart */
    uint64_t word;
};

/* bind_items.c: an object as an item, not in a block yet. -1 with an exception. */
int pack_object(PyObject *object, struct packed *packed);
void packed_release(struct packed *packed);

/* It is not going to arrive. Leaves the current exception as it is. */
void packed_withdraw(struct packed *packed);

/* What was pickled for it, and since, is going into the queue, and goes with that; it is in it. */
void packed_entrust(const struct packed *packed, struct handle *queue);
void packed_sent(const struct packed *packed);

/* It is to lie in a block, whose content packed_write() writes. */
bool packed_needs_block(const struct packed *packed);
void packed_write(struct pcn_arena *arena, const struct packed *packed, pcn_block_id block);

/* Static methods: how objects are pickled that are not of the plainest types, and how those are
 * unpickled that went apart. */
PyObject *queue_pickle_with(PyObject *ignored, PyObject *dumps);
PyObject *queue_unpickle_apart_with(PyObject *ignored, PyObject *loads);

/* An item as an object; its block becomes somebody's else, or is freed. Runs code of the user's.
 * NULL with an exception. */
PyObject *unpack_item(struct pcn_arena *arena, struct pcn_item *item);

/* How the standard library's exceptions are raised: "Empty", "Full" or "ShutDown". */
void raise_of_queue(const char *name);

typedef struct {
    struct handle handle;
    bool closed; /* this handle: no put and no get any more */
    int signal;  /* eventfd that is readable while there are items, or -1 */
} Queue;

extern PyType_Spec queue_spec, simple_queue_spec;

#define QUEUE_METHOD(name, flags, doc)                                                      \
    {#name, (PyCFunction)(void (*)(void))queue_##name, flags, doc}

/* bind_queue.c: the queue from here, bound; -1 with an exception. `used`: nor if it is closed. */
int queue_share(Queue *self, struct pcn_share *share, bool used);

/* The arguments block and timeout as a time to give up at: 0 at once, UINT64_MAX never. */
int queue_deadline(PyObject *block, PyObject *timeout, uint64_t *deadline);

/* Others have a lock: let them go on. 0, or -1 if a signal handler raised. */
int queue_give_way(unsigned *turns);

/* Nanoseconds for the next sleep, at most `step`; 0: time is up. */
uint64_t queue_patience(uint64_t deadline, uint64_t step);

/* Sleep in `wait`, seen by who lists the waiters. 0, or -1 if a signal handler raised. */
int queue_sleep(Queue *self, const struct pcn_share *share, uint32_t op, uint64_t deadline,
                uint64_t step,
                enum pcn_status (*wait)(const struct pcn_share *share, uint64_t timeout_ns));

#define QUEUE_STEP_NS 50000000u /* of a sleep: a death may have swallowed the ring for us */

enum queue_op { QUEUE_GET = 1, QUEUE_PUT, QUEUE_JOIN };

/* bind_put.c */
PyObject *queue_put(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *queue_put_nowait(Queue *self, PyObject *object);
PyObject *queue_put_simply(Queue *self, PyObject *object);
PyObject *queue_put_many(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* bind_get.c */
PyObject *queue_get(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *queue_get_nowait(Queue *self, PyObject *ignored);
PyObject *queue_get_simply(Queue *self, PyObject *ignored);
PyObject *queue_get_many(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *queue_drain(Queue *self, PyObject *ignored);

/* bind_finish.c */
PyObject *queue_shut(Queue *self, PyObject *ignored);
PyObject *queue_task_done(Queue *self, PyObject *ignored);
PyObject *queue_join(Queue *self, PyObject *ignored);
PyObject *queue_recover(Queue *self, PyObject *ignored);
PyObject *queue_ends(Queue *self, PyObject *ignored);
PyObject *queue_validate(Queue *self, PyObject *ignored);
PyObject *queue_takings(Queue *self, PyObject *ignored);

/* Arguments by place and by name: fill `values` (as many as `names` has before its NULL), of
 * which the first `needed` must be there. -1 with an exception. */
int queue_arguments(const char *function, const char *const *names, int needed,
                   PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                   PyObject **values);

#endif
