//! Exact times, shown on hovering, are the reader's own.

const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

export function showLocalTimes(document) {
    for (const time of document.querySelectorAll('time[datetime]')) {
        const date = new Date(time.dateTime);
        if (!Number.isNaN(date.valueOf())) time.title = format.format(date);
    }
}
