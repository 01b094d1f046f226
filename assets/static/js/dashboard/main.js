//! Makes the pages of the dashboard nicer; none of them needs it.

import { countChosen } from './choose.js';
import { offerCopying } from './copy.js';
import { countDown } from './countdown.js';
import { closeWhatIsOpen } from './popup.js';
import { listenForKeys } from './keys.js';
import { offerPalette } from './palette.js';
import { showLocalTimes } from './time.js';

countChosen(document);
offerCopying(document);
countDown(document);
closeWhatIsOpen(document);
listenForKeys(document);
offerPalette(document);
showLocalTimes(document);
