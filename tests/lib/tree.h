/* A folder of a test, with all that is in it. */
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

/* 0, or -1: something of it is still there. */
int tree_remove(const char *path);

#endif
