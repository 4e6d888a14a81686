#include "binding.h"

#include "bind_locks.h"
#include "bind_object.h"
#include "bind_queue.h"
#include "bind_waits.h"
#include "channel.h"

/* Every type, one a line. */
static const struct {
    const char *name;
    PyType_Spec *spec;
} types[] = {
    {"Channel", &channel_spec},
    {"Guarded", &guarded_spec},
    {"Memory", &memory_spec},
    {"Mutex", &mutex_spec},
    {"Semaphore", &semaphore_spec},
    {"Queue", &queue_spec},
    {"SimpleQueue", &simple_queue_spec},
    {"Event", &event_spec},
    {"Condition", &condition_spec},
    {"Barrier", &barrier_spec},
};

static int add_all(PyObject *module)
{
    if (PyModule_AddFunctions(module, family_methods) < 0 ||
        PyModule_AddFunctions(module, failpoint_methods) < 0 ||
        PyModule_AddFunctions(module, turn_methods) < 0 ||
        PyModule_AddFunctions(module, numbers_methods) < 0 ||
        PyModule_AddFunctions(module, outcomes_methods) < 0 ||
        PyModule_AddFunctions(module, object_methods) < 0 ||
        PyModule_AddFunctions(module, settle_methods) < 0 ||
        PyModule_AddFunctions(module, census_methods) < 0 ||
        PyModule_AddIntConstant(module, "INLINE_LIMIT", PCN_INLINE_LIMIT) < 0)
        return -1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyObject *type = PyType_FromSpec(types[i].spec);
        int failed = type ? PyModule_AddObjectRef(module, types[i].name, type) : -1;
        Py_XDECREF(type);
        if (failed < 0)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_all},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "procession._core.binding",
    .m_doc = "Python's view of the C core: the family arena and a pool's channel.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_binding(void);

PyMODINIT_FUNC PyInit_binding(void)
{
    return PyModuleDef_Init(&definition);
}
