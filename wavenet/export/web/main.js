// The page: three views of one network.

import { $, neighbour, roving } from "./elements.js";
import { setUpLooking } from "./look.js";
import { setUpMaking } from "./make.js";
import { Network } from "./network.js";
import { setUpScoring } from "./score.js";
import { KnownWords, Vocabulary } from "./vocabulary.js";

const { alphabet, network, weights, known, examples, ...rest } = JSON.parse($("model").textContent);
const page = {
  ...rest,
  network: new Network(network, weights),
  vocabulary: new Vocabulary(alphabet),
  known: known && new KnownWords(known),
};

const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

for (const tab of tabs) {
  for (const event of ["click", "focus"]) tab.addEventListener(event, () => choose(tab));
}
roving(document.querySelector(".tabs"), "[role=tab]", neighbour);

const look = setUpLooking(page);
const score = setUpScoring(page);
setUpMaking(page, (word, label) => {
  choose($("tab-look"));
  look(word, label);
  $("word").focus();
});
look(examples[0] ?? "");
score(examples);
