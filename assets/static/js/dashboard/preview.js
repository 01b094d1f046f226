//! The preview of the Connect UI follows what is typed.

const preview = document.querySelector('[data-preview]');
for (const shape of preview?.querySelectorAll('[data-colour]') ?? []) {
    const field = document.querySelector(`[name="${shape.dataset.colour}"]`);
    field?.addEventListener('input', () => {
        // Half a colour is none: the last whole one stays.
        if (CSS.supports('color', field.value)) shape.setAttribute('fill', field.value);
    });
}
