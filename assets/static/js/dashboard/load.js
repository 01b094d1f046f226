//! Pages as documents in which nothing runs. Text that becomes a document is forbidden here (Trusted Types).

/** The page at an address, or what it answers to a form; null when there is none. */
export function loadPage(address, form = null) {
    return new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.responseType = 'document';
        request.onloadend = () => resolve(request.status === 200 ? request.response : null);
        request.open(form ? 'POST' : 'GET', address);
        request.send(form ? new URLSearchParams(new FormData(form)) : null);
    });
}
