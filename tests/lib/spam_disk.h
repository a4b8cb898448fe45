/*
 * A disk for the models of the spam filter (queue/spam_files.h) that fails, is slow, or ends
 * the process, at the call that a test names. Is compiled into the tests of the queue.
 */
#ifndef TESTS_SPAM_DISK_H
#define TESTS_SPAM_DISK_H

#include <stdatomic.h>
#include <stddef.h>

struct spam_disk {
	atomic_int seen; /* calls of all kinds */
	int fail_at;     /* the number of the call that fails; 0: none; -1: all */
	int fail_errno;
	int die_at;        /* the process ends there with status 99; 0: nowhere */
	size_t write_most; /* of one call; 0: all */
	int slow_ms;       /* a sync takes so long */
	atomic_int syncs;
};
extern struct spam_disk spam_disk;

void spam_disk_begin(void); /* from here on; all is well at first */
void spam_disk_end(void);

#endif
