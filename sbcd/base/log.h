/*
 * log - one line an event on standard error, with a "<N>" priority prefix
 * that systemd and a plain file both read.
 *
 * Every line starts with node= and proc=. Writing never blocks: when the
 * reader of the pipe is stuck the line is dropped and counted.
 *
 * Layer: base. Any process, any thread.
 */
#ifndef SBCD_BASE_LOG_H
#define SBCD_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* Before the first thread. Names are copied; SIGPIPE is ignored from here on
 * unless it has a handler. `level` is the least urgent priority that is
 * printed. */
void log_init(const char *node, const char *proc, int level);

void log_msg(int priority, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)	log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_msg(LOG_DEBUG, __VA_ARGS__)

/*
 * Token bucket of one place in the code: `burst` lines, refilled at one a
 * second. The first line that passes again says how many were suppressed.
 */
struct log_rate {
	uint64_t last_ns;
	uint32_t tokens_milli;
	uint32_t suppressed;
	bool started;
};

enum { LOG_RATE_BURST = 5 };

/* Not thread safe for one `rate`; a lost update only costs a line. */
bool log_rate_pass(struct log_rate *rate);

/* What a peer can trigger is logged with this, never with log_msg alone. */
#define log_rated(priority, ...)                                               \
	do {                                                                   \
		static struct log_rate log_rate_here;                          \
		if (log_rate_pass(&log_rate_here))                             \
			log_msg(priority, __VA_ARGS__);                        \
	} while (0)

/* Lines that could not be written since the start of the process. */
uint64_t log_dropped(void);

#endif
