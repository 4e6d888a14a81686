#include "binding.h"

#include "channel.h"

static int add_functions(PyObject *module)
{
    if (PyModule_AddFunctions(module, family_methods) < 0 ||
        PyModule_AddFunctions(module, failpoint_methods) < 0 ||
        PyModule_AddFunctions(module, turn_methods) < 0 ||
        PyModule_AddFunctions(module, numbers_methods) < 0 ||
        PyModule_AddIntConstant(module, "INLINE_LIMIT", PCN_INLINE_LIMIT) < 0)
        return -1;
    PyObject *channel = PyType_FromSpec(&channel_spec);
    if (!channel)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Channel", channel);
    Py_DECREF(channel);
    return failed;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_functions},
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
