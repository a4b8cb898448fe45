/* See conf_text.h. */
#include "conf_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct conf *
conf_text(const char *text)
{
	char path[] = "/tmp/conf-text-XXXXXX";
	struct conf_report report;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	conf_report_init(&report);
	struct conf *conf = conf_read(path, &report);
	unlink(path);
	if (conf == NULL)
		fail_msg(
			"%s:%u: %s", path, report.problems[0].at.line, report.problems[0].text);
	conf_report_fini(&report);
	return conf;
}
