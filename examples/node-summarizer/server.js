// A summarizer in a few lines: express in front, Tug (or any OpenAI-compatible server) behind.
//   AI_API_URL=http://localhost:12434/engines/ai/llama3.2:1B-Q8_0/v1 AI_MODEL=ai/llama3.2:1B-Q8_0 node server.js
//   curl localhost:3000/summarize -H 'Content-Type: application/json' -d '{"text": "…"}'
const express = require("express");

const url = process.env.AI_API_URL || "http://localhost:12434/engines/v1";
const model = process.env.AI_MODEL || "ai/smollm2";
const app = express();
app.use(express.json({ limit: "1mb" }));

app.get("/health", (req, res) => res.send("ok"));

app.post("/summarize", async (req, res) => {
  const answer = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      model,
      messages: [
        { role: "system", content: "Summarize the user's text in one sentence." },
        { role: "user", content: req.body.text },
      ],
      max_tokens: 96,
    }),
  });
  const data = await answer.json();
  if (!answer.ok) return res.status(answer.status).json(data);
  res.json({ summary: data.choices[0].message.content });
});

app.listen(process.env.PORT || 3000, "127.0.0.1");
