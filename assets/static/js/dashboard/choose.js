//! Lists in which rows are chosen: one box for all of them, and how many they are.

export function countChosen(document) {
    for (const form of document.querySelectorAll('[data-choose]')) follow(form);
}

function follow(form) {
    const boxes = [...form.querySelectorAll('tbody input[type="checkbox"]')];
    const all = form.querySelector('[data-choose-all]');
    const told = form.querySelector('[data-chosen]');
    const tell = () => {
        const count = boxes.filter((box) => box.checked).length;
        if (told) told.textContent = count ? `${count} chosen` : '';
        if (!all) return;
        all.checked = count > 0 && count === boxes.length;
        all.indeterminate = count > 0 && count < boxes.length;
    };
    if (all) {
        all.hidden = false;
        all.addEventListener('change', () => {
            for (const box of boxes) box.checked = all.checked;
            tell();
        });
    }
    form.addEventListener('change', tell);
    tell();
}
