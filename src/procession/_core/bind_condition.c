/* Condition: waits beside a lock of ours, which is a Python object of its own. */
#include "bind_waits.h"

#include "condition.h"

typedef struct {
    struct handle handle;
    PyObject *lock; /* a Lock or RLock of ours */
} Condition;

/* The lock's method names, and OwnerDied: made once, not where a signal could come between. */
static PyObject *is_mine_name, *save_name, *restore_name, *enter_name, *exit_name, *owner_died;

static enum pcn_status set_up(struct pcn_arena *arena, struct handle *handle)
{
    (void)arena; /* all zero is one at which nobody waits */
    (void)handle;
    return PCN_OK;
}

static const struct handle_kind condition_kind = {.kind = PCN_CONDITION, .set_up = set_up};

static struct pcn_arena *condition_arena(Condition *self)
{
    if (!self->lock) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this condition has no lock: its __init__() was not called");
        return NULL;
    }
    return handle_arena(&self->handle);
}

/* 1, 0, or -1 with an exception. */
static int is_held(PyObject *lock)
{
    PyObject *mine = PyObject_CallMethodObjArgs(lock, is_mine_name, NULL);
    int is_mine = mine ? PyObject_IsTrue(mine) : -1;
    Py_XDECREF(mine);
    return is_mine;
}

/* Without the lock: AssertionError, as the standard library has it. */
static int need_lock(PyObject *lock, const char *message)
{
    int mine = is_held(lock);
    if (mine == 0)
        PyErr_SetString(PyExc_AssertionError, message);
    return mine > 0 ? 0 : -1;
}

/* ---- exceptions that wait while the lock is taken again ---- */

struct pending {
    PyObject *type, *value, *trace;
};

static struct pending put_aside(void)
{
    struct pending pending;
    PyErr_Fetch(&pending.type, &pending.value, &pending.trace);
    return pending;
}

/* Raise it again; one that was raised since is raised instead, in its context. */
static void bring_back(struct pending *pending)
{
    if (!PyErr_Occurred()) {
        PyErr_Restore(pending->type, pending->value, pending->trace);
        return;
    }
    if (!pending->type)
        return;
    struct pending newer = put_aside();
    PyErr_NormalizeException(&newer.type, &newer.value, &newer.trace);
    PyErr_NormalizeException(&pending->type, &pending->value, &pending->trace);
    if (pending->value && pending->trace)
        PyException_SetTraceback(pending->value, pending->trace);
    if (newer.value != pending->value)
        PyException_SetContext(newer.value, Py_XNewRef(pending->value));
    Py_XDECREF(pending->type);
    Py_XDECREF(pending->value);
    Py_XDECREF(pending->trace);
    PyErr_Restore(newer.type, newer.value, newer.trace);
}

/* Take the lock as often as before; whether it was taken. The first exception that a signal handler
 * raised, in the sleep or here, waits for the lock, so that a `with` block ends as it should; a
 * second one, and OwnerDied, do without it. */
static bool take_again(PyObject *lock, PyObject *saved)
{
    struct pending pending = put_aside();
    PyObject *done = PyObject_CallMethodObjArgs(lock, restore_name, saved, NULL);
    if (!done && !pending.type && !PyErr_ExceptionMatches(owner_died)) {
        struct pending first = put_aside();
        done = PyObject_CallMethodObjArgs(lock, restore_name, saved, NULL);
        bring_back(&first);
    }
    bool taken = done != NULL;
    Py_XDECREF(done);
    bring_back(&pending);
    return taken;
}

/* ---- waiting ---- */

/* The lock's word, to look after its owner; the lock was just ours, so it is bound here. */
static const struct pcn_mutex *word_of(PyObject *lock, const struct pcn_arena *arena)
{
    const struct handle *handle = (const struct handle *)lock;
    return handle->kind && handle->kind->kind == PCN_MUTEX ? pcn_mutex_at(arena, handle->name)
                                                           : NULL;
}

/* Sleep in bounded steps. PCN_OK, PCN_TIMEOUT, PCN_OWNER_DIED as the core has it; PCN_SIGNAL: a
 * handler raised; PCN_CLOSED: one forked, and this is the child, which nobody knows of. */
static enum pcn_status sleep_for_it(struct pcn_arena *arena, struct pcn_condition_wait *wait,
                                    uint64_t deadline)
{
    const pcn_token me = arena->me;
    enum pcn_status status = PCN_TIMEOUT;
    if (has_a_moment(deadline)) {
        Py_BEGIN_ALLOW_THREADS
        status = pcn_condition_spin(arena, wait) ? PCN_OK : PCN_TIMEOUT;
        Py_END_ALLOW_THREADS
    }
    while (status == PCN_TIMEOUT || status == PCN_SIGNAL) {
        uint64_t now = pcn_now_ns();
        if (now >= deadline)
            return PCN_TIMEOUT;
        Py_BEGIN_ALLOW_THREADS
        status = pcn_condition_sleep(arena, wait, deadline - now);
        Py_END_ALLOW_THREADS
        if (status != PCN_TIMEOUT && status != PCN_SIGNAL)
            return status;
        struct pcn_spot *ours = pcn_spot_put_aside(); /* a handler may wait, too */
        int raised = PyErr_CheckSignals();
        pcn_spot_take_back(arena, ours, me);
        if (raised < 0)
            return PCN_SIGNAL;
        if (arena->me != me)
            return PCN_CLOSED;
    }
    return status;
}

/* Stand, let go of the lock, sleep, take it again. 1: notified; 0: time is over; 2: neither, and
 * the lock's owner had died but is recovered; -1: exception. */
static int wait_once(Condition *self, PyObject *lock, struct pcn_arena *arena,
                     uint64_t deadline)
{
    const pcn_token me = arena->me;
    struct pcn_condition_wait wait = {.name = self->handle.name,
                                      .hold = handle_hold(arena, &self->handle),
                                      .spot = pcn_spot_mine(arena, this_thread()),
                                      .lock = word_of(lock, arena)};
    if (!wait.spot) {
        raise_status(PCN_NO_MEMORY);
        return -1;
    }
    pcn_condition_enter(arena, &wait, spot_op(deadline), place_of_caller(&self->handle));
    PyObject *saved = PyObject_CallMethodObjArgs(lock, save_name, NULL);
    if (!saved) {
        if (pcn_condition_leave(&wait))
            pcn_condition_finish(arena, &wait, false, false);
        return -1;
    }
    enum pcn_status status = sleep_for_it(arena, &wait, deadline);
    bool here = arena->me == me; /* else the spot is the parent's */
    bool notified = here && pcn_condition_leave(&wait);
    bool raised = PyErr_Occurred() != NULL;
    bool taken = take_again(lock, saved);
    Py_DECREF(saved);
    here = here && arena->me == me;
    if (notified && here)
        pcn_condition_finish(arena, &wait, taken, !raised);
    if (PyErr_Occurred())
        return -1;
    if (notified)
        return 1;
    return status == PCN_OWNER_DIED ? 2 : 0;
}

static PyObject *condition_wait(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                PyObject *names)
{
    Condition *self = (Condition *)object;
    struct pcn_arena *arena = condition_arena(self);
    uint64_t deadline;
    if (!arena || deadline_argument(args, count, names, &deadline) < 0)
        return NULL;
    PyObject *lock = Py_NewRef(self->lock); /* meanwhile it may be given another one */
    int how = need_lock(lock, "must acquire() condition before using wait()") < 0 ? -1 : 2;
    while (how == 2)
        how = wait_once(self, lock, arena, deadline);
    Py_DECREF(lock);
    return how < 0 ? NULL : PyBool_FromLong(how);
}

/* ---- notifying ---- */

static PyObject *notify(Condition *self, uint64_t most)
{
    struct pcn_arena *arena = condition_arena(self);
    if (!arena)
        return NULL;
    PyObject *lock = Py_NewRef(self->lock);
    int has = need_lock(lock, "lock is not owned");
    Py_DECREF(lock);
    if (has < 0)
        return NULL;
    pcn_condition_notify(arena, self->handle.name, most);
    Py_RETURN_NONE;
}

static PyObject *condition_notify(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"n", NULL};
    Py_ssize_t most = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|n:notify", names, &most))
        return NULL;
    if (most == PY_SSIZE_T_MAX)
        return notify((Condition *)self, PCN_CONDITION_ALL);
    return notify((Condition *)self, most > 0 ? (uint64_t)most : 0);
}

static PyObject *condition_notify_all(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return notify((Condition *)self, PCN_CONDITION_ALL);
}

static PyObject *condition_waiting(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = condition_arena((Condition *)self);
    if (!arena)
        return NULL;
    return PyLong_FromUnsignedLong(
        pcn_condition_waiting(arena, ((struct handle *)self)->name));
}

/* ---- the lock ---- */

static PyObject *condition_enter(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Condition *self = (Condition *)object;
    if (!condition_arena(self))
        return NULL;
    PyObject *lock = Py_NewRef(self->lock);
    PyObject *entered = PyObject_CallMethodObjArgs(lock, enter_name, NULL);
    Py_DECREF(lock);
    return entered;
}

static PyObject *condition_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    Condition *self = (Condition *)object;
    if (!condition_arena(self) || count != 3) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "__exit__(type, value, traceback)");
        return NULL;
    }
    /* A wait in the block could not get the lock again: what it raised is to be seen. */
    PyObject *lock = Py_NewRef(self->lock), *done = NULL;
    int mine = args[0] == Py_None ? 1 : is_held(lock);
    if (mine > 0)
        done = PyObject_CallMethodObjArgs(lock, exit_name, args[0], args[1], args[2], NULL);
    else if (mine == 0)
        done = Py_NewRef(Py_None);
    Py_DECREF(lock);
    return done;
}

/* ---- the type ---- */

static int set_lock(Condition *self, PyObject *lock)
{
    PyObject *module = PyImport_ImportModule("procession._core.binding");
    PyObject *kind = module ? PyObject_GetAttrString(module, "Mutex") : NULL;
    Py_XDECREF(module);
    /* Really: its struct is looked into. A proxy only says that it is one. */
    int is_mutex = kind ? PyObject_TypeCheck(lock, (PyTypeObject *)kind) : -1;
    Py_XDECREF(kind);
    if (is_mutex == 0)
        PyErr_Format(PyExc_TypeError,
                     "a condition's lock must be a Lock or RLock of procession, not %R; leave it "
                     "out for a new RLock", lock);
    if (is_mutex <= 0)
        return -1;
    PyObject *before = self->lock;
    self->lock = Py_NewRef(lock);
    Py_XDECREF(before);
    return 0;
}

static int make_names(void)
{
    if (owner_died)
        return 0;
    PyObject *errors = PyImport_ImportModule("procession.errors.sync");
    owner_died = errors ? PyObject_GetAttrString(errors, "OwnerDied") : NULL;
    Py_XDECREF(errors);
    is_mine_name = PyUnicode_InternFromString("_is_mine");
    save_name = PyUnicode_InternFromString("_release_save");
    restore_name = PyUnicode_InternFromString("_acquire_restore");
    enter_name = PyUnicode_InternFromString("__enter__");
    exit_name = PyUnicode_InternFromString("__exit__");
    if (is_mine_name && save_name && restore_name && enter_name && exit_name && owner_died)
        return 0;
    Py_CLEAR(owner_died);
    return -1;
}

static int condition_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"lock", NULL};
    Condition *self = (Condition *)object;
    PyObject *lock;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O", names, &lock) || make_names() < 0 ||
        set_lock(self, lock) < 0)
        return -1;
    return self->handle.kind ? 0 : handle_create(&self->handle, &condition_kind);
}

static PyObject *condition_arrive(PyObject *self, PyObject *tuple)
{
    if (make_names() < 0 || handle_arrive((struct handle *)self, &condition_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *condition_beside(PyObject *self, PyObject *lock)
{
    if (set_lock((Condition *)self, lock) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int condition_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Condition *)self)->lock);
    return 0;
}

static int condition_clear(PyObject *self)
{
    Py_CLEAR(((Condition *)self)->lock);
    return 0;
}

static void condition_free(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    condition_clear(self);
    waits_free(self);
}

static PyMethodDef condition_methods[] = {
    {"wait", WAIT_METHOD(condition_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait(timeout=None): let go of the lock, wait to be notified, at most `timeout` seconds, and "
     "take it again; whether it was notified. OwnerDied if a process died having the lock."},
    {"notify", (PyCFunction)(void (*)(void))condition_notify, METH_VARARGS | METH_KEYWORDS,
     "notify(n=1): notify at most so many of those that wait; who came first goes first."},
    {"notify_all", condition_notify_all, METH_NOARGS, "notify_all(): notify all that wait."},
    {"__enter__", condition_enter, METH_NOARGS, "Take the lock."},
    {"__exit__", WAIT_METHOD(condition_exit), METH_FASTCALL, "Release the lock."},
    {"_waiting", condition_waiting, METH_NOARGS, "_waiting(): how many wait now."},
    {"_beside", condition_beside, METH_O, "_beside(lock): this is the lock that it stands beside."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS,
     "For pickle: a handle on the same condition."},
    {"_arrive", condition_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_new, waits_new},
    {Py_tp_init, condition_init},
    {Py_tp_dealloc, condition_free},
    {Py_tp_traverse, condition_traverse},
    {Py_tp_clear, condition_clear},
    {Py_tp_methods, condition_methods},
    {Py_tp_doc, "Condition(lock): wait to be notified by who has the lock."},
    {0, NULL},
};

PyType_Spec condition_spec = {
    .name = "procession._core.binding.Condition",
    .basicsize = sizeof(Condition),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = condition_slots,
};
